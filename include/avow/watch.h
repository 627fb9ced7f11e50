/*
 * SPDX-License-Identifier: MIT
 *
 * avow/watch.h - whatever libev can watch, as promises and as emitters.
 *
 * Included by avow.h; include that.
 *
 * Each kind of watcher of libev has two forms: a promise for the next time, and
 * an emitter for every time.
 *
 *     watched             promise             emitter, its event
 *     a timer             avow_delay()        avow_interval(), "tick"
 *     the wall clock      avow_at()           avow_watch_periodic(), "tick"
 *     a descriptor        avow_readable(),    avow_watch_io(), "ready"
 *                         avow_writable()
 *     a signal            avow_signalled()    avow_watch_signal(), "signal"
 *     a child process     avow_exited()       avow_watch_child(), "exit"
 *     a path              avow_changed()      avow_watch_stat(), "change"
 *     forks               avow_forked()       avow_watch_fork(), "fork"
 *     other threads       see below           avow_watch_async(), "wake"
 *
 * (The promises for timers and descriptors stand in avow.h.)  Another thread
 * settles a promise without any watcher: avow_settle(context, value), where the
 * context is avow_threaded(avow_context(avow_pending(loop))).
 *
 * A promise keeps ev_run() alive while it is pending, and stops its watcher
 * when it is cancelled.  An emitter does so while its event is listened to.
 * Both survive ev_loop_destroy(): nothing comes any more then, and promises
 * stay pending until avow_loop_free().
 */
#ifndef AVOW_WATCH_H
#define AVOW_WATCH_H

#include "../avow.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- Promises
 *
 * All of them return a promise, never NULL; out of memory gives one that is
 * rejected.  All but avow_forked() have the option `.signal` (avow/abort.h).
 */

/* What may follow the loop: avow_at(loop, when, .signal = s). */
typedef struct avow_at_options {
	double seconds AVOW_UNSET_;
	avow_signal *signal AVOW_UNSET_;
} avow_at_options;
typedef struct avow_signalled_options {
	int signum AVOW_UNSET_;
	avow_signal *signal AVOW_UNSET_;
} avow_signalled_options;
typedef struct avow_exited_options {
	int pid AVOW_UNSET_;
	avow_signal *signal AVOW_UNSET_;
} avow_exited_options;
typedef struct avow_changed_options {
	const char *path AVOW_UNSET_;
	double interval AVOW_UNSET_; /* seconds; 0 leaves it to libev */
	avow_signal *signal AVOW_UNSET_;
} avow_changed_options;

/*
 * Fulfilled with none once the wall clock shows `seconds` since 1970, whatever
 * is done to the clock meanwhile; in the next iteration where that is past.  A
 * time that is not finite is rejected (AVOW_EINVALID).
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_at(avow_loop *loop, double seconds);
/*
 * Fulfilled with the number (avow_int) of the signal `signum` when the process
 * gets it.  While somebody waits, the signal does not do what it else would,
 * and does so again when nobody does.
 *
 * A number that is none, or of a signal that cannot be caught, is rejected with
 * EINVAL; and with EBUSY one that libev cannot watch in this loop: SIGCHLD
 * outside the default loop, and one that avow watches in another loop.  (What
 * the program itself watches in another loop is not known here, and libev
 * aborts.)
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_signalled(avow_loop *loop, int signum);
/*
 * Fulfilled with the wait status (avow_int, to be read by WIFEXITED() and its
 * kin) of the child process `pid` when it ends, or when it has ended already
 * and nobody has waited for it.  libev waits for all children while the default
 * loop runs, and forgets those that are not watched: so call this before.
 *
 * Children can be watched in libev's default loop alone: others are rejected
 * with ENOTSUP.  A process that is no child, or whose status is gone, is
 * rejected with ECHILD, and a number below 1 with EINVAL.
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_exited(avow_loop *loop, int pid);
/*
 * Fulfilled when the file at `path` changes, comes or goes, with whether it is
 * there now (avow_bool).  libev asks the system every `.interval` seconds, at
 * least a tenth, or is told where the system can do that.  A symbolic link
 * itself is watched, not what it leads to.
 *
 * NULL, and an interval that is negative or not finite, are rejected
 * (AVOW_EINVALID).
 *
 * Ownership   `path` is copied.
 * Since       0.2
 */
AVOW_API avow_promise *avow_changed(avow_loop *loop, const char *path);
/* Fulfilled with none in a child process of fork(), once libev was told by
 * ev_loop_fork().  The parent's stays pending.  Since 0.2 */
AVOW_API avow_promise *avow_forked(avow_loop *loop);

/* ---------------------------------------------------------------- Emitters
 *
 * Each is an avow_emitter (avow/emitter.h) that belongs to the caller, until
 * avow_emitter_free().  The watcher is started when its event gets the first
 * listener, be that a function, avow_once() or an iterator, and stopped when it
 * loses the last one.  Listening to "error" alone starts nothing.
 *
 * What cannot be watched (a bad number, a closed descriptor; the same as with
 * the promise) shows when the watcher is started: as an event "error", from the
 * loop, with the error that the promise would have been rejected with.  So a
 * promise of avow_once() is rejected, and without a listener to "error" the
 * error is an unhandled rejection.  The next first listener tries again.
 *
 * Where nothing else is said, the value of an event is its number, from 1
 * (avow_int).
 *
 * Returns     NULL when out of memory or when the loop is being freed.
 * Since       0.2
 */

/* "tick" every `seconds`, first after so many.  Ticks do not drift: when one
 * comes late, the next does not.  When more than one is due there is one event.
 * Seconds that are zero, negative or not finite: AVOW_EINVALID. */
AVOW_API AVOW_MUST_USE avow_emitter *avow_interval(avow_loop *loop,
						   double seconds);
/* "tick" when the wall clock shows `offset` plus any multiple of `every`
 * seconds: (0, 3600) is each full hour of UTC.  AVOW_EINVALID as above. */
AVOW_API AVOW_MUST_USE avow_emitter *
avow_watch_periodic(avow_loop *loop, double offset, double every);
/*
 * "ready" with the events that came (avow_int of AVOW_READ, AVOW_WRITE), in
 * each iteration for as long as `fd` is ready: a listener reads until it is no
 * longer.  A closed descriptor: EBADF; no events: EINVAL.
 *
 * Ownership   `fd` stays the caller's; listen no more before closing it.
 */
AVOW_API AVOW_MUST_USE avow_emitter *avow_watch_io(avow_loop *loop, int fd,
						   int events);
/* "signal" with the number of the signal.  Several that came in one go are one
 * event.  Errors as avow_signalled(). */
AVOW_API AVOW_MUST_USE avow_emitter *avow_watch_signal(avow_loop *loop,
						       int signum);
/* "exit" of one child with its wait status, or with pid 0 of any with a list of
 * its pid and its status (two avow_int).  One child ends once: then the watcher
 * stops by itself.  Errors as avow_exited(). */
AVOW_API AVOW_MUST_USE avow_emitter *avow_watch_child(avow_loop *loop, int pid);
/* "change" with whether the file is there now (avow_bool).  `every` and errors
 * as with avow_changed(). */
AVOW_API AVOW_MUST_USE avow_emitter *
avow_watch_stat(avow_loop *loop, const char *path, double every);
/* "fork" in each child process; see avow_forked(). */
AVOW_API AVOW_MUST_USE avow_emitter *avow_watch_fork(avow_loop *loop);

/*
 * "wake" when a thread has called avow_watch_send().  Several that come before
 * the loop looks are one event; one that comes while nobody listens is none.
 *
 * Threads are given wakers, which are counted and may outlive the emitter, its
 * loop and libev's: sending does nothing then.
 *
 *     avow_emitter *mail = avow_watch_async(loop);
 *     start_thread(worker, avow_watch_waker(mail));
 */
AVOW_API AVOW_MUST_USE avow_emitter *avow_watch_async(avow_loop *loop);

typedef struct avow_waker avow_waker;

/* One more waker of this emitter of avow_watch_async(); never NULL.  It belongs
 * to the caller, until avow_waker_free() in any thread.  Since 0.2 */
AVOW_API AVOW_MUST_USE avow_waker *avow_watch_waker(avow_emitter *emitter);
/* Bring the event about, from any thread but not from a signal handler.  False
 * when nobody listens.  Since 0.2 */
AVOW_API bool avow_watch_send(avow_waker *waker);
/* Give it back, from any thread; NULL does nothing.  Since 0.2 */
AVOW_API void avow_waker_free(avow_waker *waker);

AVOW_API avow_promise *avow_at_at(const char *place, avow_loop *loop,
				  const avow_at_options *options);
AVOW_API avow_promise *avow_signalled_at(const char *place, avow_loop *loop,
					 const avow_signalled_options *options);
AVOW_API avow_promise *avow_exited_at(const char *place, avow_loop *loop,
				      const avow_exited_options *options);
AVOW_API avow_promise *avow_changed_at(const char *place, avow_loop *loop,
				       const avow_changed_options *options);
AVOW_API avow_promise *avow_forked_at(const char *place, avow_loop *loop);

AVOW_API AVOW_MUST_USE avow_emitter *
avow_interval_at(const char *place, avow_loop *loop, double seconds);
AVOW_API AVOW_MUST_USE avow_emitter *avow_watch_periodic_at(const char *place,
							    avow_loop *loop,
							    double offset,
							    double every);
AVOW_API AVOW_MUST_USE avow_emitter *
avow_watch_io_at(const char *place, avow_loop *loop, int fd, int events);
AVOW_API AVOW_MUST_USE avow_emitter *
avow_watch_signal_at(const char *place, avow_loop *loop, int signum);
AVOW_API AVOW_MUST_USE avow_emitter *
avow_watch_child_at(const char *place, avow_loop *loop, int pid);
AVOW_API AVOW_MUST_USE avow_emitter *avow_watch_stat_at(const char *place,
							avow_loop *loop,
							const char *path,
							double every);
AVOW_API AVOW_MUST_USE avow_emitter *avow_watch_fork_at(const char *place,
							avow_loop *loop);
AVOW_API AVOW_MUST_USE avow_emitter *avow_watch_async_at(const char *place,
							 avow_loop *loop);

#ifdef __cplusplus
}
#endif

/* In C++ before C++20 options are a filled struct in place of what is given by
 * place. */
#define avow_at(loop, ...)            \
	avow_at_at(AVOW_HERE, (loop), \
		   AVOW_OPTIONS_(avow_at_options, seconds, __VA_ARGS__))
#define avow_signalled(loop, ...)                                       \
	avow_signalled_at(AVOW_HERE, (loop),                            \
			  AVOW_OPTIONS_(avow_signalled_options, signum, \
					__VA_ARGS__))
#define avow_exited(loop, ...)            \
	avow_exited_at(AVOW_HERE, (loop), \
		       AVOW_OPTIONS_(avow_exited_options, pid, __VA_ARGS__))
#define avow_changed(loop, ...)                                   \
	avow_changed_at(AVOW_HERE, (loop),                        \
			AVOW_OPTIONS_(avow_changed_options, path, \
				      __VA_ARGS__))
#define avow_forked(...) avow_forked_at(AVOW_HERE, __VA_ARGS__)
#define avow_interval(...) avow_interval_at(AVOW_HERE, __VA_ARGS__)
#define avow_watch_periodic(...) avow_watch_periodic_at(AVOW_HERE, __VA_ARGS__)
#define avow_watch_io(...) avow_watch_io_at(AVOW_HERE, __VA_ARGS__)
#define avow_watch_signal(...) avow_watch_signal_at(AVOW_HERE, __VA_ARGS__)
#define avow_watch_child(...) avow_watch_child_at(AVOW_HERE, __VA_ARGS__)
#define avow_watch_stat(...) avow_watch_stat_at(AVOW_HERE, __VA_ARGS__)
#define avow_watch_fork(...) avow_watch_fork_at(AVOW_HERE, __VA_ARGS__)
#define avow_watch_async(...) avow_watch_async_at(AVOW_HERE, __VA_ARGS__)

#endif /* AVOW_WATCH_H */
