options(digits=12)
d <- read.csv("exposure.csv")
d <- d[!is.na(d$auc0_28),]
d$y <- pmin(d$crs_grade,3); x <- log(d$auc0_28); X <- cbind(1,x)
# Brant 1990 by hand from glm fits
K <- 3; fits <- lapply(1:K, function(k) glm((d$y>=k)~x, family=binomial, control=glm.control(epsilon=1e-14)))
b <- sapply(fits, function(f) coef(f)[2]); P <- sapply(fits, fitted)
V <- matrix(0,K,K); I <- lapply(1:K,function(k) solve(t(X)%*%(X*P[,k]*(1-P[,k]))))
for(j in 1:K) for(k in 1:K){ w <- P[,max(j,k)]-P[,j]*P[,k]; V[j,k] <- (I[[j]]%*%(t(X)%*%(X*w))%*%I[[k]])[2,2]}
D <- rbind(c(-1,1,0),c(-1,0,1)); print(c(b)); s <- t(D%*%b)%*%solve(D%*%V%*%t(D))%*%(D%*%b); print(s)
g <- glm((d$crs_grade>=2)~log(cmax)+log(dose_level)+log(tumour_burden), family=binomial, data=d, control=glm.control(epsilon=1e-14)); print(summary(g)$coefficients)
print(exp(log(2)*cbind(coef(g),confint.default(g,level=.9))))
options(digits=15)
co <- summary(g)$coefficients; cat(paste(format(co[,1:2],digits=15),collapse=","),"\n"); cat(format(c(b),digits=15), format(s,digits=15),"\n")
for (f in fits) cat(format(summary(f)$coefficients[2,1:2],digits=15),"\n")
pr <- predict(g, data.frame(cmax=1000,dose_level=1e6,tumour_burden=80), se.fit=TRUE); cat(format(plogis(pr$fit+c(0,-1,1)*qnorm(.95)*pr$se.fit),digits=15),"\n")
