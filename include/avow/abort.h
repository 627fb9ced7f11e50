/*
 * SPDX-License-Identifier: MIT
 *
 * avow/abort.h - abort signals: one switch for any number of promises.
 *
 * Included by avow.h; include that.
 *
 * As AbortController and AbortSignal in browsers and Node.  A controller is
 * kept by whoever may abort, its signal is handed to the work:
 *
 *     avow_abort *stop = avow_abort_new(loop);
 *     p = avow_map(loop, count, fetch, urls, .limit = 4,
 *                  .signal = avow_abort_signal(stop));
 *     ...
 *     avow_abort_with(stop, avow_none());
 *
 * Functions that have options take one as `.signal`; any other promise, of
 * avow_delay() or AVOW_PROMISIFY, is tied to one by avow_abortable().  What a
 * signal aborts is cancelled, with all that this reaches (avow_cancel), and
 * rejected with the reason.  When the work has ended first it leaves the signal
 * in constant time, so a signal may live as long as the program.
 */
/* Before the guard: when this one is included first, avow.h includes it again,
 * where those that follow need it. */
#include "../avow.h"

#ifndef AVOW_ABORT_H
#define AVOW_ABORT_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct avow_abort avow_abort;

/*
 * A controller with a signal of its own, not aborted.
 *
 * Ownership   the caller's, until avow_abort_free().
 * Returns     NULL when out of memory.
 * Since       0.2
 */
AVOW_API AVOW_MUST_USE avow_abort *avow_abort_new(avow_loop *loop);
/*
 * Give the controller back, before or after its loop is freed.  What listens
 * to its signal goes on, and can no longer be aborted by it.  NULL does
 * nothing.
 *
 * Since       0.2
 */
AVOW_API void avow_abort_free(avow_abort *controller);
/* The signal of a controller: good as long as the controller is, or held, or
 * listened to.  Since 0.2 */
AVOW_API avow_signal *avow_abort_signal(avow_abort *controller);

/*
 * Abort, once: everything tied to the signal is cancelled before this returns,
 * in the order in which it was tied, and rejected with `reason`.  A second time
 * does nothing.
 *
 * Ownership   takes `reason`.  None stands for AVOW_ECANCELLED, which is never
 *             reported as unhandled; a reason that is no error is wrapped in
 *             one (AVOW_EREASON), and so is an error of a type of the
 *             program's that has a drop (avow_cause() gives it).  A promise is
 *             a programming error.
 * Calls back  cancel hooks and drops.  They may free the controller.
 * Since       0.2
 */
AVOW_API void avow_abort_with(avow_abort *controller, avow_value reason);

/*
 * Signals that need no controller.  They are good until this callback returns,
 * and after that for as long as something is tied to them or they are held.
 *
 * avow_signal_any() aborts as soon as one of `list` does, with its reason; an
 * empty list never does.  The array stays the caller's; one signal may stand in
 * it twice.  avow_signal_timeout() aborts after `seconds` with AVOW_ETIMEOUT; it
 * keeps ev_run() alive while something is tied to it or it is held.
 *
 * Returns     a signal, never NULL.  Out of memory, NULL for a list with a
 *             count, or a time that is negative or not finite (AVOW_EINVALID),
 *             gives one that is aborted, and so does a loop that is being freed
 *             (AVOW_EABANDONED).
 * Since       0.2
 */
AVOW_API avow_signal *avow_signal_any(avow_loop *loop, avow_signal *const *list,
				      size_t count);
AVOW_API avow_signal *avow_signal_timeout(avow_loop *loop, double seconds);

/* Keep a signal beyond its callback, and give it back.  NULL does nothing.
 * Since 0.2 */
AVOW_API void avow_signal_hold(avow_signal *signal);
AVOW_API void avow_signal_release(avow_signal *signal);

/* Has it aborted, and why?  The reason is borrowed, and none before.  0.2 */
AVOW_API bool avow_signal_is_aborted(const avow_signal *signal);
AVOW_API AVOW_MUST_USE avow_value avow_signal_reason(const avow_signal *signal);

/*
 * A promise that is rejected with the reason when `signal` aborts, and is never
 * fulfilled: for handlers that want to know.  Cancel it to stop listening.
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_signal_promise(avow_loop *loop,
					   avow_signal *signal);
AVOW_API avow_promise *
avow_signal_promise_at(const char *place, avow_loop *loop, avow_signal *signal);
#define avow_signal_promise(...) avow_signal_promise_at(AVOW_HERE, __VA_ARGS__)

/*
 * As `p`, but when `signal` aborts before it has settled, or has aborted, the
 * promise returned is cancelled, which cancels `p` too unless somebody else
 * waits for it, and is rejected with the reason.  With no signal (NULL) it is
 * `p` itself.
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_abortable(avow_promise *p, avow_signal *signal);
AVOW_API avow_promise *avow_abortable_at(const char *place, avow_promise *p,
					 avow_signal *signal);
#define avow_abortable(...) avow_abortable_at(AVOW_HERE, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif /* AVOW_ABORT_H */
