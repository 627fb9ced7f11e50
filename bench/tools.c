/*
 * SPDX-License-Identifier: MIT
 *
 * tools.c - what the toolbox costs: all over many, map with a limit, a race
 * against a promise that never settles, timers at once, cancelling a chain.
 */
#include "bench.h"

/* ------------------------------------------------------------------- all */

/* Over 10,000 at the most; the handler of one begins the next. */
enum { ALL_COUNT = 10000 };
static void all_next(struct bench *b);
static bool all_is_pending;

static avow_value all_done(avow_value list, void *arg)
{
	struct bench *b = arg;
	const size_t count = avow_list_count(list);
	const avow_value last = avow_list_at(list, count - 1);

	b->done += count;
	if (avow_int_get(last) != (int64_t)b->done)
		bench_fail("all of %zu gave %lld at its end", count,
			   (long long)avow_int_get(last));
	if (b->done < b->steps)
		all_next(b);
	return avow_none();
}

static avow_value all_value(size_t done, size_t i)
{
	return avow_int((int64_t)(done + i + 1));
}

static void all_next(struct bench *b)
{
	static avow_promise *inputs[ALL_COUNT];
	const size_t left = b->steps - b->done;
	const size_t count = left < ALL_COUNT ? left : ALL_COUNT;
	size_t i;

	for (i = 0; i < count; i++)
		inputs[i] =
			all_is_pending
				? avow_pending(b->loop)
				: avow_resolved(b->loop, all_value(b->done, i));
	avow_then(avow_all(b->loop, inputs, count), all_done, b);
	for (i = 0; all_is_pending && i < count; i++)
		avow_resolve(inputs[i], all_value(b->done, i));
}

void all_of_settled(struct bench *b)
{
	all_is_pending = false;
	all_next(b);
	ev_run(b->ev, 0);
}

void all_of_pending(struct bench *b)
{
	all_is_pending = true;
	all_next(b);
	ev_run(b->ev, 0);
}

/* ------------------------------------------------------------------- map */

static avow_value map_item(avow_value index, void *arg)
{
	struct bench *b = arg;

	b->done++;
	return avow_int(avow_int_get(index) + 1);
}

static avow_value map_end(avow_value list, void *arg)
{
	struct bench *b = arg;
	const avow_value last = avow_list_at(list, b->steps - 1);

	if (avow_int_get(last) != (int64_t)b->steps)
		bench_fail("a map of %zu gave %lld at its end", b->steps,
			   (long long)avow_int_get(last));
	return avow_none();
}

static void map_with(struct bench *b, ptrdiff_t limit)
{
	avow_then(avow_map(b->loop, b->steps, map_item, b, .limit = limit),
		  map_end, b);
	ev_run(b->ev, 0);
}

void map_by_1(struct bench *b)
{
	map_with(b, 1);
}

void map_by_10(struct bench *b)
{
	map_with(b, 10);
}

void map_by_1000(struct bench *b)
{
	map_with(b, 1000);
}

/* Without a list of results. */
static avow_value each_end(avow_value count, void *arg)
{
	struct bench *b = arg;

	if (avow_int_get(count) != (int64_t)b->steps)
		bench_fail("each saw %lld of %zu",
			   (long long)avow_int_get(count), b->steps);
	return avow_none();
}

void each_by_10(struct bench *b)
{
	avow_then(avow_each(b->loop, b->steps, map_item, b, .limit = 10),
		  each_end, b);
	ev_run(b->ev, 0);
}

/* ------------------------------------------------------------------ race */

/* Each lap races a promise that stays against one that is there. */
struct race {
	struct bench *b;
	avow_promise *stays;
};

static void race_next(struct race *race);

static avow_value race_done(avow_value value, void *arg)
{
	struct race *race = arg;

	race->b->done += (size_t)avow_int_get(value);
	if (race->b->done < race->b->steps)
		race_next(race);
	return avow_none();
}

static void race_next(struct race *race)
{
	avow_promise *both[2];

	both[0] = race->stays;
	both[1] = avow_resolved(race->b->loop, avow_int(1));
	avow_then(avow_race(race->b->loop, both, 2), race_done, race);
}

void race_against_one(struct bench *b)
{
	struct race race = { b, avow_pending(b->loop) };

	race_next(&race);
	ev_run(b->ev, 0);
	avow_cancel(race.stays);
}

/* ---------------------------------------------------------------- timers */

static avow_value delay_over(avow_value value, void *arg)
{
	struct bench *b = arg;

	b->done += avow_is_none(value);
	return avow_none();
}

/* From inside the loop: outside of it each asks for the time first, because
 * libev's clock stands still there. */
static void delays_begin(void *arg)
{
	struct bench *b = arg;
	size_t i;

	for (i = 0; i < b->steps; i++)
		avow_then(avow_delay(b->loop, 0), delay_over, b);
}

void delays_at_once(struct bench *b)
{
	if (!avow_post(b->loop, delays_begin, b))
		bench_fail("out of memory");
	ev_run(b->ev, 0);
}

/* ---------------------------------------------------------------- cancel */

static avow_value cancel_never(avow_value value, void *arg)
{
	(void)arg;
	bench_fail("a handler ran in a chain that was cancelled");
	return value;
}

/* From its end, so that the whole chain is climbed. */
void cancel_chain(struct bench *b)
{
	avow_promise *p = avow_pending(b->loop);
	size_t i;

	for (i = 1; i < b->steps; i++)
		p = avow_then(p, cancel_never, b);
	avow_cancel(p);
	b->done = avow_state_of(p) == AVOW_REJECTED ? b->steps : 0;
	ev_run(b->ev, 0);
}
