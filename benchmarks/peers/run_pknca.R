# PKNCA on the profiles of a CSV file (id, time, conc; 0 is BLQ), one call of pk.nca at a time.
#
#   Rscript benchmarks/peers/run_pknca.R profiles.csv out.json 3
#
# The rules are those of nca_peers.py: lin-up/log-down, BLQ first and last kept as 0 and dropped in
# between, at least three points after Tmax, tolerance 1e-4. Written are the seconds of each call
# (elapsed and processor) and the values that the other tools are compared in.

suppressPackageStartupMessages(library(PKNCA))
told <- commandArgs(trailingOnly = TRUE)
profiles <- read.csv(told[1])
repeats <- as.integer(told[3])
PKNCA.options(
  auc.method = "lin up/log down", conc.blq = list(first = "keep", middle = "drop", last = "keep"),
  min.hl.points = 3, adj.r.squared.factor = 1e-4, allow.tmax.in.half.life = FALSE
)
whole <- data.frame(
  start = 0, end = Inf, cmax = TRUE, tmax = TRUE, tlast = TRUE, clast.obs = TRUE, auclast = TRUE,
  aucall = TRUE, aumclast = TRUE, half.life = TRUE, aucinf.obs = TRUE, aucinf.pred = TRUE,
  aumcinf.obs = TRUE, aumcinf.pred = TRUE, mrt.last = TRUE, mrt.obs = TRUE, mrt.pred = TRUE,
  aucpext.obs = TRUE, aucpext.pred = TRUE, span.ratio = TRUE
)
window <- whole
window[] <- lapply(whole, function(asked) FALSE)
window$start <- 0
window$end <- 28
whole$aucint.all <- FALSE
window$aucint.all <- TRUE
doses <- data.frame(id = unique(profiles$id), time = 0, dose = 1e7)

analyse <- function() {
  conc <- PKNCAconc(profiles, conc ~ time | id)
  dose <- PKNCAdose(doses, dose ~ time | id)
  pk.nca(PKNCAdata(conc, dose, intervals = rbind(whole, window)))
}

seconds <- list()
for (i in seq_len(repeats)) {
  before <- proc.time()
  found <- suppressMessages(suppressWarnings(analyse()))
  gone <- proc.time() - before
  seconds[[i]] <- c(gone[["elapsed"]], gone[["user.self"]] + gone[["sys.self"]])
}

table <- as.data.frame(found)
values <- function(name, code, end) {
  rows <- table[table$PPTESTCD == code & table$end == end, ]
  level <- rows$PPORRES[match(doses$id, rows$id)]
  numbers <- ifelse(is.finite(level), sprintf("%.17g", level), "null")
  sprintf("\"%s\": [%s]", name, paste(numbers, collapse = ", "))
}
calls <- vapply(
  seconds, function(s) sprintf("{\"wall\": %.6f, \"cpu\": %.6f}", s[1], s[2]), character(1)
)
compared <- c(
  values("lambda_z", "lambda.z", Inf), values("n", "lambda.z.n.points", Inf),
  values("cmax", "cmax", Inf), values("auclast", "auclast", Inf),
  values("aucinf", "aucinf.obs", Inf), values("window", "aucint.all", 28)
)
versions <- sprintf("%s, R %s", packageVersion("PKNCA"), getRversion())
cat(
  sprintf(
    "{\"version\": \"%s\", \"profiles\": %d, \"calls\": [%s], \"values\": {%s}}\n",
    versions, nrow(doses), paste(calls, collapse = ", "), paste(compared, collapse = ", ")
  ),
  file = told[2]
)
