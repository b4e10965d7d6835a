// B1: expansion to tmax, then decline at two rates; six parameters vary between patients; M3.
data {
  int<lower=1> N;
  int<lower=1> T;
  array[N, T] real time;
  array[N, T] real y;  // ln of the level, or of the LLOQ
  array[N, T] int below;
  vector[6] mu0;
  vector[6] spread;
  vector[6] omega0;
  real sigma0;
  array[6] int centred;
}
parameters {
  vector[6] typical;
  vector<lower=0>[6] omega;
  real<lower=0> sigma;
  matrix[N, 6] z;
}
model {
  matrix[N, 6] phi;
  typical ~ normal(mu0, spread);
  omega ~ normal(0, omega0);
  sigma ~ normal(0, sigma0);
  for (k in 1:6) {
    if (centred[k]) {
      z[, k] ~ normal(typical[k], omega[k]);
      phi[, k] = z[, k];
    } else {
      z[, k] ~ std_normal();
      phi[, k] = typical[k] + omega[k] * z[, k];
    }
  }
  for (i in 1:N) {
    real tmax = exp(phi[i, 2]);
    real rho = exp(phi[i, 3]);
    real alpha = exp(phi[i, 4]);
    real beta = exp(phi[i, 6]);
    real fast = log1m_inv_logit(phi[i, 5]);
    real slow = log_inv_logit(phi[i, 5]);
    for (j in 1:T) {
      real since = time[i, j] - tmax;
      real f = phi[i, 1];
      if (since < 0) f += rho * since;
      else f += log_sum_exp(fast - alpha * since, slow - beta * since);
      if (below[i, j]) target += normal_lcdf(y[i, j] | f, sigma);
      else target += normal_lpdf(y[i, j] | f, sigma);
    }
  }
}
