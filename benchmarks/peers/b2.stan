// B2: effector and memory cells, antigen, IL-6 (engine/problem.py); five parameters vary.
functions {
  vector rhs(real t, vector y, vector p, real il6_base) {
    real growth = y[1] * y[3] / (p[3] + y[3]);
    vector[4] d;
    d[1] = p[2] * growth - (p[4] + p[5]) * y[1];
    d[2] = p[5] * y[1] - p[6] * y[2];
    d[3] = p[8] * (1 - y[3]) - p[7] * y[1] * y[3];
    d[4] = p[9] * (il6_base - y[4]) + p[10] * growth;
    return d;
  }
}
data {
  int<lower=1> N;
  int<lower=1> T;
  array[N, T] real time;  // the first is 0
  array[N, T, 2] real y;
  real il6_base;
  vector[10] mu0;
  vector[10] spread;
  int<lower=1> K;
  array[K] int varying;  // places among the ten
  vector[K] omega0;
  vector[2] sigma0;
  array[K] int centred;
  real rtol;
  real atol;
}
parameters {
  vector[10] typical;
  vector<lower=0>[K] omega;
  vector<lower=0>[2] sigma;
  matrix[N, K] z;
}
model {
  typical ~ normal(mu0, spread);
  omega ~ normal(0, omega0);
  sigma ~ normal(0, sigma0);
  for (k in 1:K) {
    if (centred[k]) z[, k] ~ normal(typical[varying[k]], omega[k]);
    else z[, k] ~ std_normal();
  }
  for (i in 1:N) {
    vector[10] phi = typical;
    for (k in 1:K) {
      if (centred[k]) phi[varying[k]] = z[i, k];
      else phi[varying[k]] += omega[k] * z[i, k];
    }
    vector[10] p = exp(phi);
    vector[4] start = [p[1], 0, 1, il6_base]';
    array[T - 1] vector[4] out = ode_rk45_tol(
      rhs, start, 0, time[i, 2:T], rtol, atol, 100000, p, il6_base);
    y[i, 1, 1] ~ normal(phi[1], sigma[1]);
    y[i, 1, 2] ~ normal(log(il6_base), sigma[2]);
    for (j in 2:T) {
      y[i, j, 1] ~ normal(log(out[j - 1][1] + out[j - 1][2]), sigma[1]);
      y[i, j, 2] ~ normal(log(out[j - 1][4]), sigma[2]);
    }
  }
}
