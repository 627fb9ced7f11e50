/*
 * SPDX-License-Identifier: MIT
 *
 * adapt.c - two shapes built on chains: a stepper for libraries without
 * callbacks, and handing a promise's outcome to an error-first callback.
 */
#include "avow.h"

#include "report.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>

/* ----------------------------------------------------------------- Stepper */

/* "Call me again": descriptor, events and milliseconds in one payload. */
static void adapt_describe_until(avow_value value, char *text, size_t size);
static const avow_type adapt_until_type = { .name = "avow_until",
					    .describe = adapt_describe_until };
#define UNTIL_MS_MAX ((1 << 29) - 1)

static int adapt_until_fd(avow_value value)
{
	return (int)(int32_t)(value.as.i64 & 0xffffffff);
}

static int adapt_until_events(avow_value value)
{
	return (int)(value.as.i64 >> 32 & 3);
}

static int adapt_until_ms(avow_value value)
{
	return (int)((uint64_t)value.as.i64 >> 34 & UNTIL_MS_MAX);
}

static void adapt_describe_until(avow_value value, char *text, size_t size)
{
	(void)snprintf(text, size, "until fd %d", adapt_until_fd(value));
}

avow_value avow_until(int fd, int events, double seconds)
{
	avow_value value = { { NULL }, &adapt_until_type };
	uint64_t ms = 0;
	if (isnan(seconds) || seconds < 0)
		return avow_error_at(NULL, &avow_core_domain, AVOW_EINVALID,
				     "avow_until() of %g seconds", seconds);
	/* Rounded up: a deadline must not come early, or be none. */
	if (seconds > 0)
		ms = seconds * 1e3 < UNTIL_MS_MAX ?
			     (uint64_t)ceil(seconds * 1e3) :
			     UNTIL_MS_MAX;
	value.as.i64 = (int64_t)(ms << 34 |
				 (uint64_t)(events & (AVOW_READ | AVOW_WRITE))
					 << 32 |
				 (uint32_t)fd);
	return value;
}

struct adapt_stepper {
	avow_handler_fn *step;
	void *state;
	const char *place;
};

static avow_value adapt_lap(avow_value ready, void *arg);

/* A lap that follows the next collapses: constant memory for ever. */
static avow_value adapt_next_lap(avow_value until, const char *place, void *arg)
{
	avow_loop *loop = avow_loop_current();
	const int events = adapt_until_events(until);
	const double seconds = adapt_until_ms(until) / 1e3;
	avow_promise *ready;
	if (events)
		ready = avow_ready_at(place, loop, adapt_until_fd(until),
				      events, seconds);
	else if (seconds > 0)
		ready = avow_delay_at(place, loop, seconds);
	else
		return avow_error_at(place, &avow_core_domain, AVOW_EINVALID,
				     "avow_until() of no event and no time");
	return avow_await(avow_then_at(place, ready, adapt_lap, arg));
}

/* `arg` may be gone when `step` returns: it can cancel the whole. */
static avow_value adapt_lap(avow_value ready, void *arg)
{
	const struct adapt_stepper stepper = *(struct adapt_stepper *)arg;
	/* avow_delay() gives none: the time alone was waited for. */
	const avow_value events =
		avow_is_none(ready) ? avow_int(AVOW_TIMEOUT) : ready;
	const avow_value next = stepper.step(events, stepper.state);
	if (!avow_is(next, &adapt_until_type))
		return next;
	return adapt_next_lap(next, stepper.place, arg);
}

avow_promise *avow_drive_at(const char *place, avow_loop *loop,
			    avow_handler_fn *step, void *state)
{
	const struct adapt_stepper stepper = { step, state, place };
	return avow_then_copy_at(place,
				 avow_resolved_at(place, loop, avow_int(0)),
				 adapt_lap, &stepper, sizeof(stepper));
}

avow_promise *(avow_drive)(avow_loop *loop, avow_handler_fn *step, void *state)
{
	return avow_drive_at(NULL, loop, step, state);
}

/* ------------------------------------------------------ To a callback again */

struct adapt_callback {
	avow_callback_fn *callback;
	void *context;
};

static avow_value adapt_call(avow_value outcome, void *arg)
{
	const struct adapt_callback *to = arg;
	if (avow_is_error(outcome))
		to->callback(outcome, avow_none(), to->context);
	else
		to->callback(avow_none(), outcome, to->context);
	return avow_none();
}

void avow_as_callback_at(const char *place, avow_promise *p,
			 avow_callback_fn *callback, void *context)
{
	const struct adapt_callback to = { callback, context };
	const avow_handlers handlers = { .fulfilled = adapt_call,
					 .rejected = adapt_call,
					 .copy = &to,
					 .copy_size = sizeof(to) };
	if (!avow_try_(place, p, &handlers))
		callback(avow_errno(ENOMEM), avow_none(), context);
}

void (avow_as_callback)(avow_promise *p, avow_callback_fn *callback,
			void *context)
{
	avow_as_callback_at(NULL, p, callback, context);
}
