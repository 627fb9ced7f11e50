/*
 * SPDX-License-Identifier: MIT
 *
 * report.h - telling: misuse, which ends the program, and reports, which go
 * to the loop's hook.
 */
#ifndef AVOW_SRC_REPORT_H
#define AVOW_SRC_REPORT_H

#include "loop.h"

/* One line on stderr, then abort().  `place` is where the promise in question
 * was made, or NULL. */
_Noreturn AVOW_PRINTF(2, 3) void avow__misuse(const char *place,
					      const char *format, ...);

/* Stays in release builds: it costs a compare. */
#define CHECK(claim, place, ...)                           \
	do {                                               \
		if (UNLIKELY(!(claim)))                    \
			avow__misuse((place), __VA_ARGS__); \
	} while (0)

void avow__report(avow_loop *loop, const avow_report *report);

#endif
