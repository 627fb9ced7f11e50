/*
 * SPDX-License-Identifier: MIT
 *
 * harness.c - the contexts in which workloads run, and the sampling.
 *
 * Method: every series of a row (avow on a fresh, an aged, a holed and a
 * default loop, and the floors) is warmed up, then all are sampled in turn,
 * A B C A B C ..., so that what the machine does meanwhile falls on all of
 * them alike.  A sample repeats its workload for some milliseconds.  Every
 * repeat checks that each step was done.
 */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const series_name[SERIES_COUNT] = {
	"warm", "aged", "holes", "default", "fifo", "feed", "bare"
};

void bench_fail(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("avow-bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* ------------------------------------------------------------ One series */

bench_fn *series_fn(const struct workload *w, enum series series)
{
	switch (series) {
	case SERIES_FIFO:
		return w->fifo;
	case SERIES_FEED:
		return w->feed;
	case SERIES_BARE:
		return w->bare;
	default:
		return w->avow;
	}
}

static bool series_is_avow(enum series series)
{
	return series <= SERIES_DEFAULT;
}

/* No workload leaves a rejection alone; one that turns up is an error. */
static void bench_report(avow_loop *loop, const avow_report *report, void *arg)
{
	struct bench *b = arg;

	b->report_count++;
	avow_report_print(loop, report, NULL);
}

void bench_open(struct bench *b, enum series series, size_t aged_count)
{
	memset(b, 0, sizeof(*b));
	b->ev = ev_loop_new(EVFLAG_AUTO);
	if (!b->ev)
		bench_fail("no libev loop");
	fifo_open(b);
	if (!series_is_avow(series))
		return;
	b->loop = avow_loop_new(b->ev);
	if (!b->loop)
		bench_fail("no loop");
	avow_loop_on_report(b->loop, bench_report, b);
	if (series != SERIES_DEFAULT)
		avow_loop_spare_max(b->loop, SIZE_MAX / 2);
	if (series == SERIES_AGED || series == SERIES_HOLES)
		age_loop(b, aged_count, series == SERIES_HOLES);
}

void bench_room(struct bench *b, const struct workload *w, enum series series,
		size_t steps)
{
	pool_close(&b->nodes);
	pool_close(&b->timers);
	if (steps == 0)
		return;
	if (series == SERIES_FIFO)
		pool_open(&b->nodes, sizeof(struct node), steps + 2);
	if (series == SERIES_FEED)
		pool_open(&b->nodes, sizeof(struct fed), steps + 2);
	if (w->uses_timers)
		pool_open(&b->timers, request_size, steps + 2);
}

void bench_close(struct bench *b)
{
	pool_close(&b->nodes);
	pool_close(&b->timers);
	if (b->loop) {
		age_end(b);
		avow_loop_free(b->loop);
	}
	ev_loop_destroy(b->ev);
	if (b->report_count)
		bench_fail("%zu reports of the loop", b->report_count);
}

double bench_laps(struct bench *b, const struct workload *w,
		  enum series series, size_t steps, size_t laps)
{
	bench_fn *const fn = series_fn(w, series);
	double start;
	size_t i;

	b->steps = steps;
	start = machine_busy_seconds();
	for (i = 0; i < laps; i++) {
		b->done = 0;
		fn(b);
		if (b->done != steps)
			bench_fail("%s, %s: %zu of %zu steps were done",
				   w->name, series_name[series], b->done,
				   steps);
	}
	return machine_busy_seconds() - start;
}

/* --------------------------------------------------------------- One row */

/* Warm up, and find how many laps make a sample of the wanted length. */
static void row_warm_up(struct row *row, struct bench *b, enum series series,
			const struct sampling *how)
{
	const struct workload *w = row->workload;
	size_t laps = 1;
	double seconds = bench_laps(b, w, series, row->steps, laps);

	while (seconds < how->sample_seconds / 2 && laps < 1000000) {
		laps *= 4;
		seconds = bench_laps(b, w, series, row->steps, laps);
	}
	seconds /= (double)laps;
	laps = (size_t)(how->sample_seconds / seconds);
	row->series[series].laps = laps ? laps : 1;
}

static void row_sample(struct row *row, struct bench *b, enum series series)
{
	struct samples *s = &row->series[series];
	const double seconds = bench_laps(b, row->workload, series, row->steps,
					  s->laps);

	s->ns[s->count++] = seconds * 1e9 / (double)row->steps /
			    (double)s->laps;
}

void row_run(struct row *row, struct bench *contexts,
	     const struct sampling *how)
{
	const double start = machine_seconds();
	size_t i, s;

	for (s = 0; s < SERIES_COUNT; s++) {
		if (!series_fn(row->workload, (enum series)s))
			continue;
		bench_room(&contexts[s], row->workload, (enum series)s,
			   row->steps);
		row_warm_up(row, &contexts[s], (enum series)s, how);
	}
	for (i = 0; i < how->repeats; i++) {
		if (i >= 3 && machine_seconds() - start > how->row_seconds)
			break;
		for (s = 0; s < SERIES_COUNT; s++) {
			if (series_fn(row->workload, (enum series)s))
				row_sample(row, &contexts[s], (enum series)s);
		}
	}
	for (s = 0; s < SERIES_COUNT; s++) {
		if (series_fn(row->workload, (enum series)s))
			bench_room(&contexts[s], row->workload,
				   (enum series)s, 0);
		samples_sum_up(&row->series[s]);
	}
}
