/* The population problem of problem.py written by hand, to see what a general engine costs.

   Steps, error norm and switching are those of cart_pkpd/_engine: Tsit5 with its interpolant,
   and Rodas5P with exact sensitivities where stability holds Tsit5 back. What is specific here is
   the model: right-hand side, Jacobian, second derivatives and the solution of the 4 x 4 systems
   use its structure. The vector z holds E, M, A, Y, then 4 rows of 10 derivatives by the log
   parameters e0, rho, ka, alpha, k, beta, kappa, g, kout, prod.

   Tsitouras C (2011), Comput Math Appl 62:770. Steinebach G (2023), BIT Numer Math 63:27. */

#include <math.h>
#include <string.h>

#define N 4
#define P 10
#define W 12 /* P filled up with zeros to a multiple of four: rows begin where registers do */
#define SIZE (N * (1 + W))
#define Y0 5.0
#define SLACK 10.0
#define PEAK_SHARE 1e-9
#define TINY 1e-290
#define SAFETY 0.9
#define LEAST 0.2
#define MOST 6.0
#define STABLE 3.2
#define EASY 1.5
#define ENOUGH 4

enum { E0, RHO, KA, ALPHA, K, BETA, KAPPA, G, KOUT, PROD };
enum { SOLVED, TOO_MANY_STEPS, STEP_TOO_SMALL, NOT_FINITE };
enum { AUTOMATIC, EXPLICIT, IMPLICIT };

typedef double vec[SIZE] __attribute__((aligned(32)));

/* All entries of the Jacobian that are not zero, and what second derivatives need. */
typedef struct {
    double ee, ea, me, mm, ae, aa, ye, ya, yy;
    double h, h1, h2, hk, hk1, e, a;
} linear;

typedef struct {
    double i00, i02, i20, i22, m, y; /* inverse of the E, A block; pivots of M and Y */
} factors;

static inline double larger(double a, double b) { return a > b ? a : b; }

static inline void linearise(const double *restrict z, const double *restrict p, linear *l) {
    const double e = z[0], a = z[2], r = 1.0 / (p[KA] + a);
    l->e = e;
    l->a = a;
    l->h = a * r;
    l->h1 = p[KA] * r * r;
    l->h2 = -2.0 * l->h1 * r;
    l->hk = -a * r * r;
    l->hk1 = (a - p[KA]) * r * r * r;
    l->ee = p[RHO] * l->h - p[ALPHA] - p[K];
    l->ea = p[RHO] * e * l->h1;
    l->me = p[K];
    l->mm = -p[BETA];
    l->ae = -p[KAPPA] * a;
    l->aa = -p[G] - p[KAPPA] * e;
    l->ye = p[PROD] * l->h;
    l->ya = p[PROD] * e * l->h1;
    l->yy = -p[KOUT];
}

/* Slopes of the states and of their sensitivities. */
static inline void rhs(const double *restrict z, const double *restrict p, double *restrict d) {
    const double e = z[0], m = z[1], a = z[2], y = z[3];
    const double r = 1.0 / (p[KA] + a), h = a * r, h1 = p[KA] * r * r, growth = e * h;
    const double ee = p[RHO] * h - p[ALPHA] - p[K], ea = p[RHO] * e * h1;
    const double ae = -p[KAPPA] * a, aa = -p[G] - p[KAPPA] * e;
    const double ye = p[PROD] * h, ya = p[PROD] * e * h1;
    const double *se = z + N, *sm = se + W, *sa = sm + W, *sy = sa + W;
    double *de = d + N, *dm = de + W, *da = dm + W, *dy = da + W;
    d[0] = ee * e;
    d[1] = p[K] * e - p[BETA] * m;
    d[2] = p[G] * (1.0 - a) - p[KAPPA] * e * a;
    d[3] = p[KOUT] * (Y0 - y) + p[PROD] * growth;
    for (int j = 0; j < W; j++) {
        de[j] = ee * se[j] + ea * sa[j];
        dm[j] = p[K] * se[j] - p[BETA] * sm[j];
        da[j] = ae * se[j] + aa * sa[j];
        dy[j] = ye * se[j] + ya * sa[j] - p[KOUT] * sy[j];
    }
    const double by_ka = -p[KA] * growth * r;
    de[RHO] += p[RHO] * growth;
    de[KA] += p[RHO] * by_ka;
    de[ALPHA] -= p[ALPHA] * e;
    de[K] -= p[K] * e;
    dm[K] += p[K] * e;
    dm[BETA] -= p[BETA] * m;
    da[KAPPA] -= p[KAPPA] * e * a;
    da[G] += p[G] * (1.0 - a);
    dy[KA] += p[PROD] * by_ka;
    dy[KOUT] += p[KOUT] * (Y0 - y);
    dy[PROD] += p[PROD] * growth;
}

/* Add to the sensitivities in u the derivative of their slopes by the states, along u. */
static inline void curvature(
    const linear *l, const double *restrict p, const double *restrict z, double *restrict u
) {
    const double ve = u[0], vm = u[1], va = u[2], vy = u[3];
    const double *se = z + N, *sa = se + 2 * W;
    double *ue = u + N, *um = ue + W, *ua = um + W, *uy = ua + W;
    const double bend = l->h1 * ve + l->e * l->h2 * va, turn = l->h1 * va;
    for (int j = 0; j < W; j++) {
        const double growth = turn * se[j] + bend * sa[j];
        ue[j] += p[RHO] * growth;
        ua[j] -= p[KAPPA] * (va * se[j] + ve * sa[j]);
        uy[j] += p[PROD] * growth;
    }
    const double growth = l->h * ve + l->e * l->h1 * va;
    const double by_ka = p[KA] * (l->hk * ve + l->e * l->hk1 * va);
    ue[RHO] += p[RHO] * growth;
    ue[KA] += p[RHO] * by_ka;
    ue[ALPHA] -= p[ALPHA] * ve;
    ue[K] -= p[K] * ve;
    um[K] += p[K] * ve;
    um[BETA] -= p[BETA] * vm;
    ua[KAPPA] -= p[KAPPA] * (l->a * ve + l->e * va);
    ua[G] -= p[G] * va;
    uy[KA] += p[PROD] * by_ka;
    uy[KOUT] -= p[KOUT] * vy;
    uy[PROD] += p[PROD] * growth;
}

/* I/(h gamma) - J: E and A first, then M and Y, which nothing else depends on. */
static inline int factor(const linear *l, double diagonal, factors *w) {
    const double a = diagonal - l->ee, d = diagonal - l->aa;
    const double determinant = a * d - l->ea * l->ae;
    if (determinant == 0.0) return 0;
    w->i00 = d / determinant;
    w->i02 = l->ea / determinant;
    w->i20 = l->ae / determinant;
    w->i22 = a / determinant;
    w->m = 1.0 / (diagonal - l->mm);
    w->y = 1.0 / (diagonal - l->yy);
    return 1;
}

static inline void backsolve(
    const linear *l, const factors *w, int width, double *restrict e, double *restrict m,
    double *restrict a, double *restrict y
) {
    for (int j = 0; j < width; j++) {
        const double be = e[j], ba = a[j];
        const double xe = w->i00 * be + w->i02 * ba, xa = w->i20 * be + w->i22 * ba;
        e[j] = xe;
        a[j] = xa;
        m[j] = (m[j] + l->me * xe) * w->m;
        y[j] = (y[j] + l->ye * xe + l->ya * xa) * w->y;
    }
}

static inline void solve_stage(
    const linear *l, const factors *w, const double *restrict p, const double *restrict z,
    double *restrict u
) {
    backsolve(l, w, 1, u, u + 1, u + 2, u + 3);
    curvature(l, p, z, u);
    backsolve(l, w, W, u + N, u + N + W, u + N + 2 * W, u + N + 3 * W);
}

#define EACH for (int i = 0; i < SIZE; i++)

/* One step of Tsit5. k[0] holds the slope at z; on exit k[6] the slope at new, w the 6th stage. */
static void tsit5(
    const double *restrict p, double h, const double *restrict z, vec *restrict k,
    double *restrict w, double *restrict new, double *restrict e
) {
    const double *k1 = k[0], *k2 = k[1], *k3 = k[2], *k4 = k[3], *k5 = k[4], *k6 = k[5],
                 *k7 = k[6];
    EACH w[i] = z[i] + h * 0.161 * k1[i];
    rhs(w, p, k[1]);
    EACH w[i] = z[i] + h * (-0.008480655492356989 * k1[i] + 0.335480655492357 * k2[i]);
    rhs(w, p, k[2]);
    EACH w[i] = z[i] + h * (2.8971530571054935 * k1[i] - 6.359448489975075 * k2[i]
                            + 4.3622954328695815 * k3[i]);
    rhs(w, p, k[3]);
    EACH w[i] = z[i] + h * (5.325864828439257 * k1[i] - 11.748883564062828 * k2[i]
                            + 7.4955393428898365 * k3[i] - 0.09249506636175525 * k4[i]);
    rhs(w, p, k[4]);
    EACH w[i] = z[i] + h * (5.86145544294642 * k1[i] - 12.92096931784711 * k2[i]
                            + 8.159367898576159 * k3[i] - 0.071584973281401 * k4[i]
                            - 0.028269050394068383 * k5[i]);
    rhs(w, p, k[5]);
    EACH new[i] = z[i] + h * (0.09646076681806523 * k1[i] + 0.01 * k2[i]
                              + 0.4798896504144996 * k3[i] + 1.379008574103742 * k4[i]
                              - 3.290069515436081 * k5[i] + 2.324710524099774 * k6[i]);
    rhs(new, p, k[6]);
    EACH e[i] = h * (-0.00178001105222577714 * k1[i] - 0.0008164344596567469 * k2[i]
                     + 0.007880878010261995 * k3[i] - 0.1447110071732629 * k4[i]
                     + 0.5823571654525552 * k5[i] - 0.45808210592918697 * k6[i]
                     + 0.015151515151515152 * k7[i]);
}

static void tsit5_between(
    double x, double h, const double *restrict z, vec *restrict k, double *restrict out
) {
    const double x2 = x * x;
    const double b1 = -1.0530884977290216 * x * (x - 1.3299890189751412)
                      * (x2 - 1.4364028541716351 * x + 0.7139816917074209);
    const double b2 = 0.1017 * x2 * (x2 - 2.1966568338249754 * x + 1.2949852507374631);
    const double b3 = 2.490627285651252793 * x2
                      * (x2 - 2.38535645472061657 * x + 1.57803468208092486);
    const double b4 = -16.54810288924490272
                      * (x - 1.21712927295533244) * (x - 0.61620406037800089) * x2;
    const double b5 = 47.37952196281928122
                      * (x - 1.203071208372362603) * (x - 0.658047292653547382) * x2;
    const double b6 = -34.87065786149660974 * (x - 1.2) * (x - 0.666666666666666667) * x2;
    const double b7 = 2.5 * (x - 1.0) * (x - 0.6) * x2;
    EACH out[i] = z[i] + h * (b1 * k[0][i] + b2 * k[1][i] + b3 * k[2][i] + b4 * k[3][i]
                              + b5 * k[4][i] + b6 * k[5][i] + b7 * k[6][i]);
}

/* One step of Rodas5P; slope and l belong to z. On exit u holds the stages, e the error. */
static int rodas5p(
    const double *restrict p, double h, const double *restrict z, const double *restrict slope,
    const linear *l, vec *restrict u, double *restrict f, double *restrict w,
    double *restrict new, double *restrict e
) {
    const double r = 1.0 / h;
    double *u1 = u[0], *u2 = u[1], *u3 = u[2], *u4 = u[3], *u5 = u[4], *u6 = u[5], *u7 = u[6],
           *u8 = u[7];
    factors lu;
    if (!factor(l, r / 0.21193756319429014, &lu)) return 0;
    memcpy(u1, slope, sizeof(vec));
    solve_stage(l, &lu, p, z, u1);
    EACH w[i] = z[i] + 3.0 * u1[i];
    rhs(w, p, f);
    EACH u2[i] = f[i] + r * (-14.155112264123755 * u1[i]);
    solve_stage(l, &lu, p, z, u2);
    EACH w[i] = z[i] + 2.849394379747939 * u1[i] + 0.45842242204463923 * u2[i];
    rhs(w, p, f);
    EACH u3[i] = f[i] + r * (-17.97296035885952 * u1[i] - 2.859693295451294 * u2[i]);
    solve_stage(l, &lu, p, z, u3);
    EACH w[i] = z[i] - 6.954028509809101 * u1[i] + 2.489845061869568 * u2[i]
                - 10.358996098473584 * u3[i];
    rhs(w, p, f);
    EACH u4[i] = f[i] + r * (147.12150275711716 * u1[i] - 1.41221402718213 * u2[i]
                             + 71.68940251302358 * u3[i]);
    solve_stage(l, &lu, p, z, u4);
    EACH w[i] = z[i] + 2.8029986275628964 * u1[i] + 0.5072464736228206 * u2[i]
                - 0.3988312541770524 * u3[i] - 0.04721187230404641 * u4[i];
    rhs(w, p, f);
    EACH u5[i] = f[i] + r * (165.43517024871676 * u1[i] - 0.4592823456491126 * u2[i]
                             + 42.90938336958603 * u3[i] - 5.961986721573306 * u4[i]);
    solve_stage(l, &lu, p, z, u5);
    EACH w[i] = z[i] - 7.502846399306121 * u1[i] + 2.561846144803919 * u2[i]
                - 11.627539656261098 * u3[i] - 0.18268767659942256 * u4[i]
                + 0.030198172008377946 * u5[i];
    rhs(w, p, f);
    EACH u6[i] = f[i] + r * (24.854864614690072 * u1[i] - 3.0009227002832186 * u2[i]
                             + 47.4931110020768 * u3[i] + 5.5814197821558125 * u4[i]
                             - 0.6610691825249471 * u5[i]);
    solve_stage(l, &lu, p, z, u6);
    EACH w[i] += u6[i];
    rhs(w, p, f);
    EACH u7[i] = f[i] + r * (30.91273214028599 * u1[i] - 3.1208243349937974 * u2[i]
                             + 77.79954646070892 * u3[i] + 34.28646028294783 * u4[i]
                             - 19.097331116725623 * u5[i] - 28.087943162872662 * u6[i]);
    solve_stage(l, &lu, p, z, u7);
    EACH w[i] += u7[i];
    rhs(w, p, f);
    EACH u8[i] = f[i] + r * (37.80277123390563 * u1[i] - 3.2571969029072276 * u2[i]
                             + 112.26918849496327 * u3[i] + 66.9347231244047 * u4[i]
                             - 40.06618937091002 * u5[i] - 54.66780262877968 * u6[i]
                             - 9.48861652309627 * u7[i]);
    solve_stage(l, &lu, p, z, u8);
    EACH e[i] = u8[i];
    EACH new[i] = w[i] + u8[i];
    return 1;
}

static void rodas5p_between(
    double x, const double *restrict z, const double *restrict new, vec *restrict u,
    double *restrict out
) {
    static const double H[3][8] = {
        {25.948786856663858, -2.5579724845846235, 10.433815404888879, -2.3679251022685204,
         0.524948541321073, 1.1241088310450404, 0.4272876194431874, -0.17202221070155493},
        {-9.91568850695171, -0.9689944594115154, 3.0438037242978453, -24.495224566215796,
         20.176138334709044, 15.98066361424651, -6.789040303419874, -6.710236069923372},
        {11.419903575922262, 2.8879645146136994, 72.92137995996029, 80.12511834622643,
         -52.072871366152654, -59.78993625266729, -0.15582684282751913, 4.883087185713722},
    };
    const double y = 1.0 - x;
    EACH out[i] = y * z[i] + x * new[i];
    for (int s = 0; s < 8; s++) {
        const double g = x * y * (H[0][s] + x * (H[1][s] + x * H[2][s]));
        EACH out[i] += g * u[s][i];
    }
}

static inline double weight(double a, double b, double peak, double floor) {
    return larger(larger(larger(fabs(a), fabs(b)), larger(floor, PEAK_SHARE * peak)), TINY);
}

/* Error relative to the tolerance: root mean square over the states, or over the states'
   derivatives by one parameter, held to SLACK times the tolerance; whichever is largest. */
static double error_of(
    const double *restrict e, const double *restrict z, const double *restrict new,
    const double *restrict peak, const double *restrict floors, double rtol
) {
    double total = 0.0, column[P] = {0.0};
    for (int i = 0; i < N; i++) {
        const double size = weight(z[i], new[i], peak[i], floors[i]), share = e[i] / size;
        const double *es = e + N + i * W, *ns = new + N + i * W;
        total += share * share;
        for (int j = 0; j < P; j++) {
            const double there = es[j] / larger(fabs(ns[j]), size);
            column[j] += there * there;
        }
    }
    for (int j = 0; j < P; j++) {
        const double here = column[j] / (SLACK * SLACK);
        if (!(here <= total)) total = here; /* NaN too */
    }
    return sqrt(total / N) / rtol;
}

static double spread(
    const double *a, const double *b, const double *z, const double *new, const double *peak,
    const double *floors
) {
    double total = 0.0;
    for (int i = 0; i < N; i++) {
        const double share = (a[i] - b[i]) / weight(z[i], new[i], peak[i], floors[i]);
        total += share * share;
    }
    return sqrt(total);
}

/* Largest rate of the linearised system by two power iterations from v. */
static double fastest(
    const linear *l, double *v, const double *z, const double *peak, const double *floors
) {
    double size[N], w[N], rate = 0.0;
    for (int i = 0; i < N; i++) size[i] = weight(z[i], z[i], peak[i], floors[i]);
    for (int again = 0; again < 2; again++) {
        const double e = v[0] * size[0], m = v[1] * size[1], a = v[2] * size[2],
                     y = v[3] * size[3];
        w[0] = (l->ee * e + l->ea * a) / size[0];
        w[1] = (l->me * e + l->mm * m) / size[1];
        w[2] = (l->ae * e + l->aa * a) / size[2];
        w[3] = (l->ye * e + l->ya * a + l->yy * y) / size[3];
        rate = 0.0;
        for (int i = 0; i < N; i++) rate = larger(rate, fabs(w[i]));
        for (int i = 0; i < N; i++) v[i] = rate > 0.0 ? w[i] / rate : 1.0;
    }
    return rate;
}

static double first_step(const double *z, const double *slope, double length) {
    double most = 0.0;
    for (int i = 0; i < N; i++)
        if (z[i] != 0.0) most = larger(most, fabs(slope[i] / z[i]));
    const double h = most > 0.0 ? 0.05 / most : 0.01 * length;
    return h < length ? h : length;
}

/* Add what the two observations of one time say. */
static void observe(
    const double *restrict z, const double *restrict obs, double sigma, double *restrict loglik,
    double *restrict gradient
) {
    const double cells = z[0] + z[1];
    const double *se = z + N, *sm = se + W, *sy = sm + 2 * W;
    const double off = (obs[0] - log(cells)) / sigma, off6 = (obs[1] - log(z[3])) / sigma;
    const double by = off / (sigma * cells), by6 = off6 / (sigma * z[3]);
    *loglik -= 0.5 * (off * off + off6 * off6) + 2.0 * log(sigma) + log(2.0 * M_PI);
    for (int j = 0; j < P; j++) gradient[j] += by * (se[j] + sm[j]) + by6 * sy[j];
}

static int one_patient(
    int n_times, const double *p, const double *times, const double *obs, double sigma,
    double rtol, const double *floors, int method, long max_steps, double *loglik,
    double *gradient, long counts[3]
) {
    vec z, new, w, e, f, at, k[7], u[8];
    double peak[N], v[N] = {1.0, 1.0, 1.0, 1.0};
    linear l;
    int stiff = method == IMPLICIT, held = 0, easy = 0, next = 0;
    long steps = 0;
    double t = 0.0, grow = MOST;
    const double end = times[n_times - 1];
    memset(z, 0, sizeof z);
    z[0] = z[N + E0] = p[E0];
    z[2] = 1.0;
    z[3] = Y0;
    for (; next < n_times && times[next] <= t; next++)
        observe(z, obs + 2 * next, sigma, loglik, gradient);
    rhs(z, p, k[0]);
    for (int i = 0; i < N; i++) peak[i] = fabs(z[i]);
    double h = first_step(z, k[0], end);
    linearise(z, p, &l);
    while (t < end) {
        const int final = t + 1.001 * h >= end;
        double error = INFINITY;
        if (final) h = end - t;
        if (steps++ >= max_steps) return TOO_MANY_STEPS;
        if (!(h > 1e-14 * larger(t, 1e-3)) && !final) return STEP_TOO_SMALL;
        counts[stiff]++;
        if (!stiff) {
            tsit5(p, h, z, k, w, new, e);
            error = error_of(e, z, new, peak, floors, rtol);
        } else if (rodas5p(p, h, z, k[0], &l, u, f, w, new, e)) {
            error = error_of(e, z, new, peak, floors, rtol);
        }
        if (!(error < INFINITY)) {
            if (h < 1e-12 * end) return NOT_FINITE;
            h *= 0.1;
            grow = 1.0;
            counts[2]++;
            continue;
        }
        double factor = grow;
        if (error > 0.0) {
            factor = larger(LEAST, SAFETY * pow(error, -0.2));
            if (factor > grow) factor = grow;
        }
        if (error > 1.0) {
            h *= factor < 0.95 ? factor : 0.95;
            grow = 1.0;
            counts[2]++;
            continue;
        }
        for (; next < n_times && times[next] < end && times[next] <= t + h; next++) {
            const double x = (times[next] - t) / h;
            if (stiff)
                rodas5p_between(x, z, new, u, at);
            else
                tsit5_between(x, h, z, k, at);
            observe(at, obs + 2 * next, sigma, loglik, gradient);
        }
        if (stiff) {
            easy = h * fastest(&l, v, z, peak, floors) < EASY ? easy + 1 : 0;
        } else if (method == AUTOMATIC) {
            const double apart = spread(new, w, z, new, peak, floors);
            const double turned = spread(k[6], k[5], z, new, peak, floors);
            if (h * turned > STABLE * apart)
                held++;
            else if (h * turned < 0.5 * STABLE * apart)
                held = 0;
        }
        for (int i = 0; i < N; i++) peak[i] = larger(peak[i], fabs(new[i]));
        memcpy(z, new, sizeof z);
        t = final ? end : t + h;
        if (stiff)
            rhs(z, p, k[0]);
        else
            memcpy(k[0], k[6], sizeof z);
        h *= factor;
        grow = MOST;
        if (method == AUTOMATIC && stiff && easy >= ENOUGH) {
            stiff = held = 0;
        } else if (!stiff && held >= ENOUGH) {
            stiff = 1;
            easy = 0;
        }
        if (stiff) linearise(z, p, &l);
    }
    for (; next < n_times; next++) observe(z, obs + 2 * next, sigma, loglik, gradient);
    return SOLVED;
}

/* Log-likelihood of all patients and its gradient by their log parameters; the worst status.
   counts: steps tried by Tsit5 and by Rodas5P, steps refused. */
int population(
    int patients, int n_times, const double *log_params, const double *times, const double *obs,
    double sigma, double rtol, const double *floors, int method, long max_steps, double *loglik,
    double *gradient, long counts[3]
) {
    int worst = SOLVED;
    memset(gradient, 0, sizeof(double) * patients * P);
    *loglik = 0.0;
    counts[0] = counts[1] = counts[2] = 0;
    for (int i = 0; i < patients; i++) {
        double p[P];
        for (int j = 0; j < P; j++) p[j] = exp(log_params[i * P + j]);
        const int status = one_patient(
            n_times, p, times + i * n_times, obs + 2 * i * n_times, sigma, rtol, floors, method,
            max_steps, loglik, gradient + i * P, counts
        );
        if (status > worst) worst = status;
    }
    return worst;
}
