/*
 * SPDX-License-Identifier: MIT
 *
 * age.c - loops that have been in use: many promises are made, then settled
 * and freed in random order, all of them or every second one.  A pool that
 * hands out what was freed last gives addresses in that random order for ever
 * after, and a bench on fresh memory never sees it.
 */
#include "bench.h"

#include <stdlib.h>

/* xorshift64*, with a fixed start: every run ages in the same order. */
static uint64_t age_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717u;
}

static void age_shuffle(avow_promise **list, size_t count)
{
	uint64_t state = 88172645463325252u;
	avow_promise *swap;
	size_t i, j;

	for (i = count; i > 1; i--) {
		j = (size_t)(age_random(&state) % i);
		swap = list[i - 1];
		list[i - 1] = list[j];
		list[j] = swap;
	}
}

void age_loop(struct bench *b, size_t count, bool keep_half)
{
	const size_t keep_count = keep_half ? count / 2 : 0;
	size_t i;

	if (count == 0)
		return;
	b->kept = malloc(count * sizeof(*b->kept));
	if (!b->kept)
		bench_fail("out of memory: %zu pointers", count);
	for (i = 0; i < count; i++)
		b->kept[i] = avow_pending(b->loop);
	age_shuffle(b->kept, count);
	/* Pending promises keep their handles; the rest go, in random order. */
	for (i = keep_count; i < count; i++)
		avow_resolve(b->kept[i], avow_none());
	b->kept_count = keep_count;
	avow_tidy(b->loop);
}

void age_end(struct bench *b)
{
	size_t i;

	for (i = 0; i < b->kept_count; i++)
		avow_resolve(b->kept[i], avow_none());
	if (b->kept)
		avow_tidy(b->loop);
	free(b->kept);
	b->kept = NULL;
	b->kept_count = 0;
}
