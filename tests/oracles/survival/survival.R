library(survival)
o <- function(...) cat(..., "\n")
options(digits=15)
p <- function(x) paste(format(x, digits=15), collapse=",")
o("R", R.version.string, "survival", as.character(packageVersion("survival")))
l <- lung[complete.cases(lung[,c("time","status","sex","age","ph.ecog")]),]
o("n", nrow(l))
write.csv(lung[,c("time","status","sex","age","ph.ecog")], "lung.csv", row.names=FALSE)
write.csv(aml, "aml.csv", row.names=FALSE)
write.csv(ovarian, "ovarian.csv", row.names=FALSE)
for (ds in c("aml")) {
 f <- survfit(Surv(time,status)~x, aml, conf.type="log-log")
 print(summary(f)); print(f)
 o("aml surv", p(f$surv)); o("aml lower", p(f$lower)); o("aml upper", p(f$upper)); o("time", p(f$time)); print(f$strata)
}
f <- survfit(Surv(time,status)~sex, lung, conf.type="log-log")
print(f)
s <- summary(f, times=c(182.625, 365.25, 730.5)); o("lung est", p(s$surv)); o(p(s$lower)); o(p(s$upper)); o(p(s$n.risk))
print(quantile(f, .5))
f <- survfit(Surv(time,status)~1, lung, conf.type="log-log"); print(f)
f <- survfit(Surv(time,1-(status-1))~1, lung, conf.type="log-log"); print(f); 
f <- survfit(Surv(time,1-(status-1))~sex, lung, conf.type="log-log"); print(f)
d <- survdiff(Surv(time,status)~sex, lung); o("lr", p(d$obs), p(d$exp), p(d$chisq))
d <- survdiff(Surv(time,status)~ph.ecog, lung); o("lr ecog", p(d$n), p(d$obs), p(d$exp), p(d$chisq))
d <- survdiff(Surv(time,status)~x, aml); o("lr aml", p(d$obs), p(d$exp), p(d$chisq))
d <- survdiff(Surv(futime,fustat)~rx, ovarian); o("lr ov", p(d$obs), p(d$exp), p(d$chisq))
for (t in c("efron","breslow")) {
 c1 <- coxph(Surv(time,status)~age+sex+ph.ecog, lung, ties=t, control=coxph.control(eps=1e-14,iter.max=50)); 
 o(t, p(coef(c1)), "se", p(sqrt(diag(vcov(c1)))), "ll", p(c1$loglik), "score", p(c1$score), "wald", p(c1$wald.test), "conc", p(c1$concordance["concordance"]))
 c1 <- coxph(Surv(time,status)~x, aml, ties=t, control=coxph.control(eps=1e-14,iter.max=50)); 
 o(t,"aml", p(coef(c1)), "se", p(sqrt(diag(vcov(c1)))), "ll", p(c1$loglik), "score", p(c1$score), "wald", p(c1$wald.test), "conc", p(c1$concordance["concordance"]))
}
c1 <- coxph(Surv(time,status)~age+sex+ph.ecog, lung); print(cox.zph(c1)); z<-cox.zph(c1, transform="identity"); o("zph id", p(z$table[,1])); z<-cox.zph(c1, transform="km"); o("zph km", p(z$table[,1]));
for (d in c("weibull","lognormal","loglogistic","exponential")) {
 m <- survreg(Surv(time,status)~age+sex+ph.ecog, lung, dist=d, control=survreg.control(rel.tolerance=1e-14, maxiter=100))
 o(d, p(coef(m)), "scale", p(m$scale), "se", p(sqrt(diag(vcov(m)))), "ll", p(m$loglik))
}
