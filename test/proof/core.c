/*
 * SPDX-License-Identifier: MIT
 *
 * core.c - the library without its toolbox and without libev, in one file, for
 * the two explorers: src as it is, so that a mutant is one compilation.
 * debug.c stands apart from it, for a function of it to be replaced when it is
 * linked.
 */
#ifdef PROOF_THREADS
#include "yield.h"
#endif

/* From the bottom up, as in the Makefile. */
/* clang-format off */
#include "alloc.c"
#include "slab.c"
#include "value.c"
#include "error.c"
#include "report.c"
#include "sched.c"
#include "reap.c"
#include "promise.c"
#include "root.c"
#include "cancel.c"
#include "chain.c"
#include "task.c"
#include "seat.c"
#include "settler.c"
#include "begin.c"
#include "loop.c"
