/*
 * SPDX-License-Identifier: MIT
 *
 * choice.h - doing something in all ways: choose() says which way this time,
 * and choose_next() goes on to the next one, the last choice first.  Whoever
 * chooses must do the same again up to there, which is checked.
 */
#ifndef AVOW_PROOF_CHOICE_H
#define AVOW_PROOF_CHOICE_H

#include "refute.h"

#include <stdbool.h>
#include <stdint.h>

/* The choices on the way to here. */
static struct {
	uint8_t made[256], of[256];
	unsigned count, at;
} choice;

static inline unsigned choose(unsigned of)
{
	if (choice.at == choice.count) {
		HOLDS("bound", choice.count < 256 && of < 256);
		choice.made[choice.count] = 0;
		choice.of[choice.count++] = (uint8_t)of;
	}
	HOLDS("the library does the same again", choice.of[choice.at] == of);
	return choice.made[choice.at++];
}

/* False when all choices behind the first `from` have been made. */
static inline bool choose_next(unsigned from)
{
	while (choice.count > from) {
		const unsigned last = choice.count - 1;
		if (++choice.made[last] < choice.of[last])
			return true;
		choice.count--;
	}
	return false;
}

#endif
