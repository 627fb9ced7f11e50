/*
 * SPDX-License-Identifier: MIT
 *
 * buy.h - one purchase in a shop of ten steps, written twice.
 */
#ifndef BUY_H
#define BUY_H

#include "shop.h"

#include <avow.h>
#include <stdio.h>

struct purchase {
	avow_loop *loop;
	struct shop *shop;
	FILE *out; /* what happens is written here */
};

/* Both start the purchase and return; it is over when the loop has run. */
void buy_nested(struct purchase *buy, int token);
void buy_chain(struct purchase *buy, int token);

/* Write one line, and give `id` back. */
int note(const struct purchase *buy, const char *what, int id);

#endif /* BUY_H */
