/*
 * SPDX-License-Identifier: MIT
 *
 * cost.c - what a `then` costs beside a bare callback.  The bare callbacks
 * stand in a first-in first-out list whose nodes exist already, and each adds
 * one to the number that the one before it left; the handlers do the same.
 *
 * Both are measured in chains of ten, which stay in the processor's cache, and
 * in one chain of all steps, which does not.  The loop is told to keep the
 * memory of the long chain, as the bare callbacks keep theirs.
 */
#include "demo.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REPEAT_COUNT 9
#define SHORT_LENGTH 10

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}


/* ---------------------------------------------------------- Bare callbacks */

struct callback {
	struct callback *next;
	void (*fn)(void *arg);
	void *arg;
};

struct fifo {
	struct callback *first;
	struct callback **last;
};

static void fifo_add(struct fifo *f, struct callback *c, void (*fn)(void *),
		     void *arg)
{
	*c = (struct callback){ NULL, fn, arg };
	*f->last = c;
	f->last = &c->next;
}

static void fifo_run(struct fifo *f)
{
	for (struct callback *c = f->first; c; c = c->next)
		c->fn(c->arg);
	f->first = NULL;
	f->last = &f->first;
}

static void add_one(void *sum)
{
	++*(int64_t *)sum;
}

/* Run `steps` callbacks in chains of `length`; returns how many ran. */
static int64_t bare_run(struct callback *nodes, size_t length, size_t steps)
{
	struct fifo f = { NULL, &f.first };
	int64_t sum = 0;

	for (size_t done = 0; done < steps; done += length) {
		for (size_t i = 0; i < length; i++)
			fifo_add(&f, &nodes[i], add_one, &sum);
		fifo_run(&f);
	}
	return sum;
}


/* ---------------------------------------------------------------- Promises */

struct lap {
	avow_loop *loop;
	size_t length;
	size_t left; /* steps not yet begun */
	int64_t sum;
};

static void lap_begin(struct lap *lap);

static avow_value then_add_one(avow_value value, void *arg)
{
	(void)arg;
	return avow_int(avow_int_get(value) + 1);
}

/* The last of a chain begins the next one. */
static avow_value lap_end(avow_value value, void *arg)
{
	struct lap *lap = arg;

	lap->sum += avow_int_get(value) + 1;
	if (lap->left > 0)
		lap_begin(lap);
	return avow_none();
}

static void lap_begin(struct lap *lap)
{
	avow_promise *p = avow_resolved(lap->loop, avow_int(0));

	lap->left -= lap->length;
	for (size_t i = 1; i < lap->length; i++)
		p = avow_then(p, then_add_one, NULL);
	avow_then(p, lap_end, lap);
}

/* The same with promises. */
static int64_t then_run(avow_loop *loop, size_t length, size_t steps)
{
	struct lap lap = { .loop = loop, .length = length, .left = steps };

	lap_begin(&lap);
	ev_run(avow_loop_ev(loop), 0);
	return lap.sum;
}


/* --------------------------------------------------------------- Measuring */

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *list, size_t count)
{
	qsort(list, count, sizeof(*list), compare_double);
	return list[count / 2];
}

/* Nanoseconds a step, of the bare callbacks and of the promises. */
struct cost {
	double bare, then;
};

/* Measure both in turn; the first round warms up and is not counted. */
static bool measure(avow_loop *loop, struct callback *nodes, size_t length,
		    size_t steps, struct cost *out)
{
	double bare[REPEAT_COUNT + 1], then[REPEAT_COUNT + 1];
	int64_t expected = (int64_t)steps;

	for (size_t i = 0; i <= REPEAT_COUNT; i++) {
		double t0 = now();
		int64_t bare_sum = bare_run(nodes, length, steps);
		double t1 = now();
		int64_t then_sum = then_run(loop, length, steps);
		double t2 = now();

		if (bare_sum != expected || then_sum != expected)
			return false;
		bare[i] = 1e9 * (t1 - t0) / (double)steps;
		then[i] = 1e9 * (t2 - t1) / (double)steps;
	}
	out->bare = median(bare + 1, REPEAT_COUNT);
	out->then = median(then + 1, REPEAT_COUNT);
	return true;
}

static bool print_cost(avow_loop *loop, struct callback *nodes, size_t length,
		       size_t steps)
{
	struct cost cost;

	if (!measure(loop, nodes, length, steps, &cost)) {
		fputs("demo: some steps were not run\n", stderr);
		return false;
	}
	printf("  %14zu %12.1f ns %8.1f ns %8.1f\n", length, cost.bare,
	       cost.then, cost.then / cost.bare);
	return true;
}

bool cost_demo(avow_loop *loop, size_t step_count)
{
	/* Whole chains only, so that both count the same steps. */
	size_t steps = step_count - step_count % SHORT_LENGTH;
	struct callback *nodes = calloc(steps, sizeof(*nodes));

	if (!nodes) {
		fputs("demo: out of memory\n", stderr);
		return false;
	}
	avow_loop_spare_max(loop, steps * 2 * 64);
	printf("  steps in a row  a callback      a then    ratio\n");
	bool ok = print_cost(loop, nodes, SHORT_LENGTH, steps);

	ok &= print_cost(loop, nodes, steps, steps);
	printf("  (%zu steps a run, median of %d runs)\n", steps, REPEAT_COUNT);
	free(nodes);
	return ok;
}
