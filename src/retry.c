/*
 * SPDX-License-Identifier: MIT
 *
 * retry.c - attempts until one succeeds, and the pauses between them.
 *
 * A task that waits for one thing after the other: an attempt, what `when` says
 * of its error, a pause.  Each is a promise of its own, which is gone when the
 * next has begun; what stays is the last attempt that failed, for its error.
 */
#include "task.h"

#include <math.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct retry {
	struct avow__task task;
	avow_handler_fn *fn, *when;
	void *arg;
	avow_promise *current;	    /* waits for attempt, verdict or pause */
	avow_promise *deadline;	    /* waits for the end of all */
	avow_promise *failed;	    /* has waited: keeps the last error */
	double pause, factor, most; /* the next pause */
	double seconds;		    /* until the deadline */
	uint64_t random;	    /* state of the generator; 0: no seed yet */
	int attempts, made;
	bool no_jitter;
};

/* ----------------------------------------------------------------- Jitter */

/* A permutation of 64 bits with no visible pattern (splitmix64). */
static uint64_t retry_mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/*
 * From the system, so that the children of a fork, too, differ.  Each retry has
 * a generator of its own: nothing is shared, and the program's rand() is left
 * alone.
 */
static uint64_t retry_seed(const struct retry *retry)
{
	uint64_t seed = 0;
	if (getentropy(&seed, sizeof(seed)) != 0) {
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		seed = retry_mix((uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec
								 << 32) ^
		       retry_mix((uintptr_t)retry) ^
		       retry_mix((uint64_t)getpid() << 32);
	}
	return seed ? seed : 1;
}

/* From 0, which is one of them, to 1, which is not. */
static double retry_random(struct retry *retry)
{
	if (!retry->random)
		retry->random = retry_seed(retry);
	retry->random += 0x9e3779b97f4a7c15u;
	return (double)(retry_mix(retry->random) >> 11) * 0x1p-53;
}

/* The pause that is due, and the next one grows. */
static double retry_pause_next(struct retry *retry)
{
	const double pause = fmin(retry->pause, retry->most);
	retry->pause = pause * retry->factor;
	return retry->no_jitter ? pause
				: pause * (.5 + .5 * retry_random(retry));
}

/* ------------------------------------------------------------------ Waiting */

static avow_loop *retry_loop(const struct retry *retry)
{
	return avow__task_loop(&retry->task);
}

static const char *retry_place(const struct retry *retry)
{
	return retry->task.promise->place;
}

static void retry_end(struct avow__task *task, bool is_cancelled)
{
	struct retry *const retry = (struct retry *)task;
	avow_loop *const loop = retry_loop(retry);
	avow_promise *const current = retry->current;
	avow_promise *const deadline = retry->deadline;
	avow_promise *const failed = retry->failed;
	(void)is_cancelled; /* nobody else can know of what is waited for */
	if (current)
		avow__input_unlink(loop, current);
	if (deadline)
		avow__input_unlink(loop, deadline);
	if (current)
		avow__input_own_end(loop, current);
	if (deadline)
		avow__input_own_end(loop, deadline);
	if (failed)
		avow__unuse_in_call(loop, failed);
}

/* Wait for `source`, and for nothing else but the deadline.  Out of memory ends
 * all. */
static void retry_wait(struct retry *retry, avow_promise *source,
		       avow_job_fn *fn)
{
	retry->current = avow__input_own(retry_loop(retry), retry_place(retry),
					 source, fn, retry);
	if (!retry->current)
		avow__task_settle(&retry->task, avow_errno(ENOMEM));
}

/* ------------------------------------------------------------------- Errors */

/* Can the error of `failed` be had, to be wrapped?  A plain code and the
 * library's own errors always. */
static bool retry_can_take(const avow_loop *loop, const avow_promise *failed)
{
	const avow_value error = avow__owner(failed)->value;
	return avow_domain_of(error) ||
	       (error.type->drop && error.type->copy) ||
	       avow__is_sole(loop, failed);
}

/* The same as the caller's own; none where it cannot be had.  May copy, by a
 * function of the program's. */
static avow_value retry_take(avow_loop *loop, avow_promise *failed)
{
	if (!failed || !retry_can_take(loop, failed))
		return avow__none;
	return avow__is_sole(loop, failed)
		       ? avow__use_take(loop, failed)
		       : avow_copy(avow__owner(failed)->value);
}

/* On top of the last error.  Its text may be the program's. */
static avow_value retry_error(const char *place, int made, double seconds,
			      avow_value cause)
{
	const char *const s = made == 1 ? "" : "s";
	if (seconds <= 0)
		return avow_wrap_at(place, cause,
				    "%d attempt%s failed, the last with: %s",
				    made, s, avow_message(cause));
	return avow__error_around(
		place, AVOW_ETIMEOUT, cause,
		"timed out after %g seconds and %d attempt%s%s%s", seconds,
		made, s, cause.type ? ", the last failure: " : "",
		cause.type ? avow_message(cause) : "");
}

/*
 * Reject: attempts are used up, or the time (`seconds`).  The use of `failed`,
 * which has the last error, is taken over.  The program's functions that copy
 * that or describe it may do anything, so the promise is kept meanwhile, and
 * the retry is not looked at.
 */
static void retry_reject(struct retry *retry, avow_promise *failed,
			 double seconds)
{
	avow_loop *const loop = retry_loop(retry);
	avow_promise *const p = retry->task.promise;
	const int made = retry->made;
	avow__enter(loop);
	const bool was = avow__call_begin(loop);
	p->uses++;
	const avow_value cause = retry_take(loop, failed);
	const avow_value error = retry_error(p->place, made, seconds, cause);
	if (failed)
		avow__unuse_in_call(loop, failed);
	avow__resolve_root(loop, p, error);
	avow__unuse_in_call(loop, p);
	avow__call_end(loop, was);
	avow__leave(loop);
}

/* ----------------------------------------------------------------- Attempts */

static void retry_on_attempt(void *node);

static void retry_attempt(struct retry *retry)
{
	const char *const place = retry_place(retry);
	avow_promise *const number = avow_resolved_at(place, retry_loop(retry),
						      avow_int(++retry->made));
	avow_promise *const attempt =
		number->word & IMMORTAL
			? number
			: avow_then_at(place, number, retry->fn, retry->arg);
	/* Out of memory is no attempt that could fail. */
	if (attempt->word & IMMORTAL)
		avow__task_settle(&retry->task, avow_errno(ENOMEM));
	else
		retry_wait(retry, attempt, retry_on_attempt);
}

static void retry_on_pause(void *node)
{
	avow_promise *const input = node;
	struct retry *const retry = input->arg;
	retry->current = NULL;
	if (input->source->word & AVOW_REJECTED) {
		avow__task_settle_as(&retry->task, input);
		return;
	}
	avow__input_end(retry_loop(retry), input);
	retry_attempt(retry);
}

static void retry_pause(struct retry *retry)
{
	retry_wait(retry,
		   avow_delay_at(retry_place(retry), retry_loop(retry),
				 retry_pause_next(retry)),
		   retry_on_pause);
}

/* What `when` says of the error in `failed`. */
static void retry_on_verdict(void *node)
{
	avow_promise *const input = node;
	struct retry *const retry = input->arg;
	retry->current = NULL;
	if (input->source->word & AVOW_REJECTED) {
		avow__task_settle_as(&retry->task, input);
		return;
	}
	const avow_value verdict = avow__input_value(input);
	CHECK(verdict.type == &avow_bool_type, retry_place(retry),
	      "the .when of avow_retry() gave %s, not a bool",
	      verdict.type ? verdict.type->name : "no value");
	avow__input_end(retry_loop(retry), input);
	if (verdict.as.b) {
		retry_pause(retry);
		return;
	}
	avow__task_settle_like(&retry->task, retry->failed);
}

/* Another attempt may follow that in `failed`, whose use is taken over. */
static void retry_go_on(struct retry *retry, avow_promise *failed)
{
	avow_loop *const loop = retry_loop(retry);
	avow_promise *const before = retry->failed;
	retry->failed = failed;
	if (retry->when)
		retry_wait(retry,
			   avow_catch_at(retry_place(retry), failed,
					 retry->when, retry->arg),
			   retry_on_verdict);
	else
		retry_pause(retry);
	/* Last, for its drop may end all. */
	if (before)
		avow__unuse(loop, before);
}

/* The outcome of `attempt` is that of all. */
static bool retry_is_over(const struct retry *retry,
			  const avow_promise *attempt)
{
	const avow_loop *const loop = retry_loop(retry);
	const bool is_last = retry->made >= retry->attempts;
	if (!(attempt->word & AVOW_REJECTED) || avow__is_closing(loop))
		return true;
	if (is_last && !retry_can_take(loop, attempt))
		return true;
	return (is_last || !retry->when) &&
	       avow_is_cancelled(avow__owner(attempt)->value);
}

static void retry_on_attempt(void *node)
{
	avow_promise *const input = node;
	struct retry *const retry = input->arg;
	avow_loop *const loop = retry_loop(retry);
	avow_promise *const attempt = input->source;
	retry->current = NULL;
	if (retry_is_over(retry, attempt)) {
		avow__task_settle_as(&retry->task, input);
		return;
	}
	attempt->uses++;
	avow__input_end(loop, input);
	if (retry->made < retry->attempts)
		retry_go_on(retry, attempt);
	else
		retry_reject(retry, attempt, 0);
}

static void retry_on_deadline(void *node)
{
	avow_promise *const input = node;
	struct retry *const retry = input->arg;
	retry->deadline = NULL;
	if (input->source->word & AVOW_REJECTED) {
		avow__task_settle_as(&retry->task, input);
		return;
	}
	avow__input_end(retry_loop(retry), input);
	avow_promise *const failed = retry->failed;
	retry->failed = NULL;
	retry_reject(retry, failed, retry->seconds);
}

/* ---------------------------------------------------------------- Beginning */

static avow_value retry_bad(const char *place,
			    const avow_retry_options *options)
{
	const struct {
		const char *name;
		double value;
	} numbers[] = { { "first", options->first },
			{ "factor", options->factor },
			{ "most", options->most },
			{ "deadline", options->deadline } };
	if (options->attempts < 0)
		return avow_error_at(place, &avow_core_domain, AVOW_EINVALID,
				     "avow_retry() of %d attempts",
				     options->attempts);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		if (!isfinite(numbers[i].value) || numbers[i].value < 0)
			return avow_error_at(place, &avow_core_domain,
					     AVOW_EINVALID,
					     "avow_retry() with a .%s of %g",
					     numbers[i].name, numbers[i].value);
	}
	return avow__none;
}

static double retry_given(double value, double usual)
{
	return value > 0 ? value : usual;
}

/* False when all is over. */
static bool retry_set_deadline(struct retry *retry)
{
	avow_loop *const loop = retry_loop(retry);
	const char *const place = retry_place(retry);
	if (retry->seconds <= 0)
		return true;
	retry->deadline = avow__input_own(
		loop, place, avow_delay_at(place, loop, retry->seconds),
		retry_on_deadline, retry);
	if (retry->deadline)
		return true;
	avow__task_settle(&retry->task, avow_errno(ENOMEM));
	return false;
}

avow_promise *avow_retry_at(const char *place, avow_loop *loop,
			    avow_handler_fn *fn,
			    const avow_retry_options *options)
{
	avow_promise *result;
	CHECK(fn, place, "avow_retry() of a NULL function");
	struct retry *const retry = avow__task_open(loop, place, "avow_retry()",
						    sizeof(*retry), retry_end,
						    &result);
	if (!retry)
		return result;
	const avow_value bad = retry_bad(place, options);
	if (bad.type) {
		avow__task_settle(&retry->task, bad);
		return result;
	}
	retry->fn = fn;
	retry->when = options->when;
	retry->arg = options->arg;
	retry->attempts = options->attempts ? options->attempts : 5;
	retry->pause = retry_given(options->first, .1);
	retry->factor = retry_given(options->factor, 2);
	retry->most = retry_given(options->most, 30);
	retry->seconds = options->deadline;
	retry->no_jitter = options->no_jitter;
	if (!retry_set_deadline(retry))
		return result;
	retry_attempt(retry);
	return avow__task_abortable(place, result, options->signal);
}

avow_promise *(avow_retry)(avow_loop *loop, avow_handler_fn *fn, void *arg)
{
	return avow_retry_at(NULL, loop, fn,
			     &(avow_retry_options){ .arg = arg });
}
