/*
 * SPDX-License-Identifier: MIT
 *
 * avow/time.h - deadlines and retries.
 *
 * Included by avow.h; include that.
 *
 *     p = avow_timeout(fetch(loop, url), 2.5);
 *     p = avow_retry(loop, fetch_once, url, .attempts = 4, .deadline = 10);
 *
 * Both stop the work, and not only the waiting for it: what nobody else waits
 * for is cancelled, with all that this reaches (avow_cancel).
 *
 * Times are in seconds.  One that is negative or not finite is rejected with
 * AVOW_EINVALID.
 */
#ifndef AVOW_TIME_H
#define AVOW_TIME_H

#include "../avow.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- Deadlines */

/*
 * As `p`, but if `p` is pending after `seconds` the promise returned is
 * rejected with AVOW_ETIMEOUT (avow_is_timeout), and `p` is cancelled unless
 * somebody else waits for it.  avow_shield(p) in its place lets it go on.
 *
 * The time counts from this call.  When `p` settles first the timer is stopped;
 * until then it keeps ev_run() alive.  A promise that is settled already passes
 * its outcome on, whatever the time.
 *
 * Returns     a promise, never NULL.  A time that is negative or not finite has
 *             passed: the promise is rejected with AVOW_EINVALID, and `p` is
 *             cancelled as above.  Out of memory gives one that is rejected,
 *             and leaves `p` alone.
 * Calls back  when the time has passed cancel hooks and drops, from the loop.
 * Since       0.2
 */
AVOW_API avow_promise *avow_timeout(avow_promise *p, double seconds);
AVOW_API avow_promise *avow_timeout_at(const char *place, avow_promise *p,
				       double seconds);
#define avow_timeout(...) avow_timeout_at(AVOW_HERE, __VA_ARGS__)

/* ------------------------------------------------------------------ Retries */

/* What may follow `fn`: avow_retry(loop, fn, arg, .attempts = 3).  0, false and
 * NULL stand for what is said last in each line. */
typedef struct avow_retry_options {
	void *arg AVOW_UNSET_;	     /* of `fn` and `when` */
	int attempts AVOW_UNSET_;    /* at most, the first included: 5 */
	double first AVOW_UNSET_;    /* the pause after the first: 0.1 s */
	double factor AVOW_UNSET_;   /* by which the next is longer: 2 */
	double most AVOW_UNSET_;     /* the longest pause: 30 s */
	double deadline AVOW_UNSET_; /* for all of it: none */
	avow_handler_fn *when AVOW_UNSET_; /* is another worth it: see below */
	bool no_jitter AVOW_UNSET_;	   /* pauses are exact: shortened */
	avow_signal *signal AVOW_UNSET_;   /* aborts it; see avow/abort.h */
} avow_retry_options;

/*
 * Call `fn` until it succeeds: fulfilled with the value of the first attempt
 * that is.  `fn` gets the number of the attempt, an avow_int from 1, and starts
 * one: it returns a value, an error, or avow_await(promise).
 *
 * After an attempt that was rejected `when` gets the error, as a handler, and
 * returns avow_bool() of whether another attempt is worth it, or avow_await()
 * of a promise of that.  An error that is not worth it is passed on as it is;
 * so is one that `when` itself returns.  Without `when` all are worth it but a
 * cancellation.
 *
 * Between two attempts is a pause: `first` after the first, then each `factor`
 * times as long, but never longer than `most`.  The pause taken is a random one
 * between half of that and the whole, so that those who failed together do not
 * come back together; with `no_jitter` it is the whole.
 *
 * When the last attempt has failed, the promise is rejected with its error
 * wrapped in one that says how many were made (avow_wrap: code and domain stay,
 * avow_cause() is the error; one that somebody else reads and that cannot be
 * copied is passed on as it is).  When `deadline` seconds have passed since
 * this call, what is running then, an attempt or a pause, is cancelled, and the
 * promise is rejected with AVOW_ETIMEOUT; its avow_cause() is the last error,
 * if an attempt has failed by then.
 *
 * An attempt that was cancelled, by avow_timeout() say, has ended at once; what
 * it left to clean up may go on beside the next.
 *
 * Cancelling the promise cancels the attempt or the pause, whichever is there.
 * Memory does not grow with the number of attempts: INT_MAX of them is for
 * ever.
 *
 * Ownership   `arg` stays the caller's.
 * Returns     a promise, never NULL.  Less than 0 attempts, and a time or a
 *             factor that is negative or not finite, is rejected with
 *             AVOW_EINVALID; out of memory is rejected.
 * Calls back  `fn` and `when`, from the loop, as handlers: never before this
 *             has returned, and not after the promise has settled.
 * Since       0.2
 */
AVOW_API avow_promise *avow_retry(avow_loop *loop, avow_handler_fn *fn,
				  void *arg);
AVOW_API avow_promise *avow_retry_at(const char *place, avow_loop *loop,
				     avow_handler_fn *fn,
				     const avow_retry_options *options);
/* In C++ before C++20 options are a filled avow_retry_options in place of arg.
 */
#define avow_retry(loop, fn, ...)              \
	avow_retry_at(AVOW_HERE, (loop), (fn), \
		      AVOW_OPTIONS_(avow_retry_options, arg, __VA_ARGS__))

#ifdef __cplusplus
}
#endif

#endif /* AVOW_TIME_H */
