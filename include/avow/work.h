/*
 * SPDX-License-Identifier: MIT
 *
 * avow/work.h - blocking functions in a pool of threads.
 *
 * Included by avow.h; include that.
 *
 *     p = avow_work(loop, hash_file, path_copy(path), .drop = free);
 *
 * The process has one pool for all loops, of 4 threads unless told otherwise.
 * They are started when there is work for them, with the stack that threads
 * have by default (ulimit -s), and are named "avow-work".  All signals are
 * blocked in them but those that a fault brings (SIGSEGV and the like), so
 * that the program's handlers run in its own threads.  Work is begun first in,
 * first out, whatever loop it comes from.
 *
 * A process that exits does not wait for the pool: what is queued is forgotten.
 *
 * After fork() the child has an empty pool, which starts threads of its own.
 * What was queued or running then is not done in the child; its promises there
 * stay pending until they are cancelled or their loop is freed.
 */
#ifndef AVOW_WORK_H
#define AVOW_WORK_H

#include "../avow.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Runs in a thread of the pool, where only avow_settle(), values and errors
 * may be used; what it returns must not be avow_await(). */
typedef avow_value avow_work_fn(void *arg);

/* What may follow `fn`: avow_work(loop, fn, arg, .drop = free). */
typedef struct avow_work_options {
	void *arg AVOW_UNSET_;
	avow_drop_fn *drop AVOW_UNSET_;	 /* ends arg; see below */
	avow_signal *signal AVOW_UNSET_; /* aborts it; see avow/abort.h */
} avow_work_options;

/*
 * Run `fn(arg)` in a thread of the pool: the promise becomes the value or error
 * that it returns.  Until then ev_run() is kept alive, and sleeps.
 *
 * Cancelling the promise takes work that is queued out of the queue, in
 * constant time, and `fn` never runs.  A function that runs goes on; what it
 * returns is dropped, in the thread of the pool.  It may ask
 * avow_work_is_cancelled() and return early.  Freeing the loop does the same
 * as cancelling, reports the call (AVOW_REPORT_ABANDONED), and does not wait
 * for `fn`.
 *
 * Ownership   `drop(arg)` is called exactly once, when the promise has settled
 *             and `fn` has returned: in the loop's thread, or, where the
 *             promise was cancelled or abandoned while `fn` ran, in the thread
 *             of the pool as soon as `fn` has returned, which may be after the
 *             loop is gone.  At once when there is nothing to run: out of
 *             memory, no thread, a signal that has aborted, a loop that is
 *             being freed.
 * Returns     a promise, never NULL.  Out of memory is rejected; so is, with
 *             the errno of pthread_create(), a pool that has no thread and
 *             cannot start one.
 * Thread      the loop's, for this; a thread of the pool for `fn`.
 * Since       0.2
 */
AVOW_API avow_promise *avow_work(avow_loop *loop, avow_work_fn *fn, void *arg);
AVOW_API avow_promise *avow_work_at(const char *place, avow_loop *loop,
				    avow_work_fn *fn,
				    const avow_work_options *options);
/* In C++ before C++20 options are a filled avow_work_options in place of arg.
 */
#define avow_work(loop, fn, ...)              \
	avow_work_at(AVOW_HERE, (loop), (fn), \
		     AVOW_OPTIONS_(avow_work_options, arg, __VA_ARGS__))

/*
 * In the function of avow_work(): does nobody want its result any more?  Costs
 * a load from memory, so it may stand in a loop.  Anywhere else it is false.
 *
 * Thread      any.
 * Since       0.2
 */
AVOW_API bool avow_work_is_cancelled(void);

/*
 * How many threads the pool may have; default 4.  More are started at once if
 * work is waiting for them.  Threads beyond a smaller number end: idle ones
 * now, others when their function has returned.
 *
 * Returns     false, and changes nothing, for 0.
 * Thread      any.
 * Since       0.2
 */
AVOW_API bool avow_work_threads(unsigned count);

/*
 * Wait until all work has been done, queued work included, and end the threads:
 * when it returns there are none.  The next avow_work() starts them anew.  For
 * the end of a program that is looked at by valgrind or a sanitizer, or whose
 * code is unloaded.  It does not settle promises: that is done by the loops.
 *
 * Thread      any but the pool's own, where it is a programming error.
 * Since       0.2
 */
AVOW_API void avow_work_end(void);

#ifdef __cplusplus
}
#endif

#endif /* AVOW_WORK_H */
