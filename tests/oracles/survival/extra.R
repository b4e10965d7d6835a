# A curve that rests at one half, ties, events and censorings of one day, strata; for comparison.
library(survival); options(digits=15)
p <- function(x) paste(format(x, digits=15), collapse=",")
d <- survdiff(Surv(time,status)~sex+strata(ph.ecog), subset(lung, ph.ecog<3)); cat("strata", p(d$chisq), "\n")
g <- survfit(Surv(time,status)~rx, data=with(ovarian, data.frame(time=futime,status=fustat,rx=rx)), conf.type="log-log"); print(g)
f <- coxph(Surv(futime,fustat)~age+resid.ds+rx+ecog.ps, ovarian, control=coxph.control(eps=1e-12)); cat(p(coef(f)), p(sqrt(diag(vcov(f)))), p(f$loglik), "\n")
write.csv(ovarian, "ovarian.csv", row.names=FALSE)
