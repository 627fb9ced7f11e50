/*
 * SPDX-License-Identifier: MIT
 *
 * rate.c - so many in a time: a token bucket, and a line of those whose token
 * has not come yet.
 *
 * The bucket is one number, the time at which it would be full again (the
 * generic cell rate algorithm): taking a token puts that off by the time that
 * one token needs.  There is a timer exactly while somebody waits, so that it
 * ends before its loop.
 */
#include "line.h"

#include <math.h>
#include <string.h>
#include <time.h>

struct avow_rate {
	size_t uses; /* the owner, and frames on the stack */
	avow_loop *loop;
	size_t count;
	double seconds, interval; /* of all tokens, and of one */
	double full_at;
	struct avow__line waiting;
	avow_promise *timer; /* an input, while somebody waits */
};

static double rate_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void rate_unuse(avow_rate *rate)
{
	if (--rate->uses == 0)
		avow__free(rate);
}

/* How long until there is a token; not above 0 when there is one. */
static double rate_wait(const avow_rate *rate, double now)
{
	return rate->full_at - (rate->seconds - rate->interval) - now;
}

static void rate_take(avow_rate *rate, double now)
{
	if (rate->full_at < now)
		rate->full_at = now;
	rate->full_at += rate->interval;
}

/* ---------------------------------------------------------------- The timer */

static void rate_on_timer(void *node);

/* False when out of memory. */
static bool rate_start(avow_rate *rate, double seconds)
{
	avow_promise *const delay = avow_delay_at(NULL, rate->loop, seconds);
	rate->timer = avow__input(rate->loop, NULL, delay, rate_on_timer, rate);
	if (!rate->timer)
		avow_cancel(delay);
	return rate->timer;
}

static void rate_stop(avow_rate *rate)
{
	avow_promise *const timer = rate->timer;
	if (!timer)
		return;
	rate->timer = NULL;
	avow__input_unlink(rate->loop, timer);
	if (avow__is_closing(rate->loop))
		avow__input_leave(rate->loop, timer);
	else
		avow__input_give_up(rate->loop, timer);
}

/* Everybody whose token is there. */
static void rate_serve(avow_rate *rate)
{
	while (rate->waiting.first) {
		const double now = rate_now();
		const double wait = rate_wait(rate, now);
		if (wait > 0) {
			if (!rate_start(rate, wait))
				avow__line_reject(&rate->waiting,
						  avow_errno(ENOMEM));
			return;
		}
		rate_take(rate, now);
		avow__task_settle(&avow__line_take(&rate->waiting)->task,
				  avow__none);
	}
}

static void rate_on_timer(void *node)
{
	avow_promise *const input = node;
	avow_rate *const rate = input->arg;
	const avow_value value = avow_copy(avow__input_value(input));
	rate->timer = NULL;
	avow__input_end(rate->loop, input);
	rate->uses++;
	/* Its loop of libev is gone, or there was no memory for the timer. */
	if (avow__value_is_error(value))
		avow__line_reject(&rate->waiting, value);
	else
		rate_serve(rate);
	rate_unuse(rate);
}

/* ------------------------------------------------------------------ Waiting */

struct rate_turn {
	struct avow__waiter waiter;
	avow_rate *rate;
};

static void rate_turn_end(struct avow__task *task, bool is_cancelled)
{
	struct rate_turn *const turn = (struct rate_turn *)task;
	avow_rate *const rate = turn->rate;
	(void)is_cancelled;
	avow__line_leave(&turn->waiter);
	if (rate && !rate->waiting.first)
		rate_stop(rate);
}

static avow_value rate_bad(const char *place, const avow_rate *rate)
{
	if (rate->count && isfinite(rate->seconds) && rate->seconds > 0)
		return avow__none;
	return avow_error_at(place, &avow_core_domain, AVOW_EINVALID,
			     "a rate of %zu in %g seconds", rate->count,
			     rate->seconds);
}

avow_promise *avow_rate_acquire_at(const char *place,
				   const avow_rate_wait *options)
{
	avow_rate *const rate = options->rate;
	avow_promise *result;
	CHECK(rate, place, "avow_rate_acquire() of a NULL rate");
	struct rate_turn *const turn =
		avow__task_open(rate->loop, place, "avow_rate_acquire()",
				sizeof(*turn), rate_turn_end, &result);
	if (!turn)
		return result;
	const avow_value bad = rate_bad(place, rate);
	if (bad.type) {
		avow__task_settle(&turn->waiter.task, bad);
		return result;
	}
	avow_promise *const seen =
		avow__task_abortable(place, result, options->signal);
	if (avow__is_settled(seen))
		return seen;
	turn->rate = rate;
	avow__line_join(&rate->waiting, &turn->waiter);
	if (!rate->timer)
		rate_serve(rate);
	return seen;
}

avow_promise *(avow_rate_acquire)(avow_rate *rate)
{
	return avow_rate_acquire_at(NULL, &(avow_rate_wait){ .rate = rate });
}

avow_rate *avow_rate_new(avow_loop *loop, size_t count, double seconds)
{
	avow__loop_entry(loop, "avow_rate_new()");
	avow_rate *const rate = avow__alloc(sizeof(*rate));
	if (!rate)
		return NULL;
	memset(rate, 0, sizeof(*rate));
	rate->uses = 1;
	rate->loop = loop;
	rate->count = count;
	rate->seconds = seconds;
	rate->interval = count ? seconds / (double)count : 0;
	return rate;
}

void avow_rate_free(avow_rate *rate)
{
	if (!rate)
		return;
	avow__line_reject(&rate->waiting, avow__core_error(AVOW_ECLOSED));
	rate_unuse(rate);
}
