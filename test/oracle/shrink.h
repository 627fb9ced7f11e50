/*
 * SPDX-License-Identifier: MIT
 *
 * shrink.h - the smallest program that fails in the same way.
 */
#ifndef AVOW_TEST_ORACLE_SHRINK_H
#define AVOW_TEST_ORACLE_SHRINK_H

#include "program.h"

/* What is wrong with a program, NULL for nothing.  Texts are told apart by
 * their addresses. */
typedef const char *verdict_fn(const struct program *program, void *arg);

/* The smallest program with the same verdict that is found by making it simpler
 * step by step. */
void shrink(struct program *program, verdict_fn *verdict, void *arg);

#endif
