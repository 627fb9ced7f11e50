/*
 * SPDX-License-Identifier: MIT
 *
 * refute.h - what a property is here: a sentence of the rules and a claim in C.
 * Each explorer says how it came to where the claim fails, and ends.
 */
#ifndef AVOW_PROOF_REFUTE_H
#define AVOW_PROOF_REFUTE_H

/* With the program that shows it. */
_Noreturn void refute(const char *property, const char *claim, int line);

#define HOLDS(property, claim)                              \
	do {                                                \
		if (__builtin_expect(!(claim), 0))          \
			refute(property, #claim, __LINE__); \
	} while (0)

#endif
