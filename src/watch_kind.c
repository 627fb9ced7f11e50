/*
 * SPDX-License-Identifier: MIT
 *
 * watch_kind.c - the kinds of watchers, a row each; and wakers, by which other
 * threads reach one.
 *
 * libev takes bad arguments for the program's mistakes, and aborts.  Here they
 * come from the world, so each start asks first.
 */
#include "watch.h"

#include "call.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

/* An error of avow_core_domain, or of errno, with a message. */
#define WATCH_INVALID(place, ...) \
	avow_error_at(place, &avow_core_domain, AVOW_EINVALID, __VA_ARGS__)
#define WATCH_ERROR(place, code, ...) \
	avow_error_at(place, &avow_errno_domain, code, __VA_ARGS__)

static bool watch_is_time(double seconds)
{
	return isfinite(seconds) && seconds >= 0;
}

/* -------------------------------------------------------------- The clocks */

static avow_value watch_start_delay(struct ev_loop *ev,
				    struct avow__watch *watch,
				    const char *place)
{
	ev_timer *const timer = &watch->ev.timer;
	if (UNLIKELY(!watch_is_time(timer->at)))
		return WATCH_INVALID(place, "a delay of %g seconds", timer->at);
	/* libev's clock stands still while a callback runs, and outside of its
	 * loop: time would count from before whatever was done there. */
	ev_now_update(ev);
	ev_timer_start(ev, timer);
	return avow__none;
}

static double watch_clock(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Until the tick that is due.  Not by a repeating timer: when libev is late by
 * more than an interval it calls twice, and counts from there. */
static void watch_next_tick(struct ev_loop *ev, struct avow__watch *watch,
			    double now)
{
	ev_timer *const timer = &watch->ev.interval.timer;
	ev_now_update(ev);
	ev_timer_set(timer, watch->ev.interval.due - now, 0.);
	ev_timer_start(ev, timer);
}

static avow_value watch_start_interval(struct ev_loop *ev,
				       struct avow__watch *watch,
				       const char *place)
{
	const double every = watch->ev.interval.every;
	if (!watch_is_time(every) || every == 0)
		return WATCH_INVALID(place, "an interval of %g seconds", every);
	const double now = watch_clock();
	watch->ev.interval.due = now + every;
	watch_next_tick(ev, watch, now);
	return avow__none;
}

/* The next tick is the first multiple that has not passed. */
static avow_value watch_value_of_interval(struct ev_loop *ev,
					  struct avow__watch *watch, int events)
{
	const double every = watch->ev.interval.every;
	const double now = watch_clock();
	const double late = now - watch->ev.interval.due;
	(void)events;
	if (late < every)
		watch->ev.interval.due += every;
	else
		watch->ev.interval.due = now + every - fmod(late, every);
	watch_next_tick(ev, watch, now);
	return avow__none;
}

static void watch_stop_timer(struct ev_loop *ev, struct avow__watch *watch)
{
	ev_timer_stop(ev, &watch->ev.timer);
}

static avow_value watch_value_of_delay(struct ev_loop *ev,
				       struct avow__watch *watch, int events)
{
	(void)ev;
	(void)events;
	return watch->other ? avow_int(AVOW_TIMEOUT) : avow__none;
}

static avow_value watch_start_at(struct ev_loop *ev, struct avow__watch *watch,
				 const char *place)
{
	if (!isfinite(watch->ev.periodic.offset))
		return WATCH_INVALID(place, "at %g seconds since 1970",
				     watch->ev.periodic.offset);
	ev_periodic_start(ev, &watch->ev.periodic);
	return avow__none;
}

static avow_value watch_start_periodic(struct ev_loop *ev,
				       struct avow__watch *watch,
				       const char *place)
{
	ev_periodic *const periodic = &watch->ev.periodic;
	const double every = periodic->interval;
	if (!isfinite(periodic->offset) || !watch_is_time(every) || every == 0)
		return WATCH_INVALID(place, "%g and every %g seconds",
				     periodic->offset, every);
	/* libev counts up from there. */
	periodic->offset = fmod(periodic->offset, every);
	ev_periodic_start(ev, periodic);
	return avow__none;
}

static void watch_stop_periodic(struct ev_loop *ev, struct avow__watch *watch)
{
	ev_periodic_stop(ev, &watch->ev.periodic);
}

/* ------------------------------------------------------- Descriptors, paths */

/* libev aborts on a closed descriptor, and makes a table as large as the
 * number it is given: so ask the system first. */
static avow_value watch_start_io(struct ev_loop *ev, struct avow__watch *watch,
				 const char *place)
{
	ev_io *const io = &watch->ev.io;
	(void)place;
	if (!(io->events & (EV_READ | EV_WRITE)))
		return avow_errno(EINVAL);
	if (io->fd < 0 || fcntl(io->fd, F_GETFD) == -1)
		return avow_errno(EBADF);
	ev_io_start(ev, io);
	return avow__none;
}

static void watch_stop_io(struct ev_loop *ev, struct avow__watch *watch)
{
	ev_io_stop(ev, &watch->ev.io);
}

static avow_value watch_value_of_io(struct ev_loop *ev,
				    struct avow__watch *watch, int events)
{
	(void)ev;
	(void)watch;
	if (events & EV_ERROR)
		return avow_errno(EBADF);
	return avow_int((events & EV_READ ? AVOW_READ : 0) |
			(events & EV_WRITE ? AVOW_WRITE : 0));
}

static avow_value watch_start_stat(struct ev_loop *ev,
				   struct avow__watch *watch, const char *place)
{
	ev_stat *const stat = &watch->ev.stat;
	if (!stat->path)
		return WATCH_INVALID(place, "a NULL path to watch");
	if (!watch_is_time(stat->interval))
		return WATCH_INVALID(place, "a path every %g seconds",
				     stat->interval);
	ev_stat_start(ev, stat);
	return avow__none;
}

static void watch_stop_stat(struct ev_loop *ev, struct avow__watch *watch)
{
	ev_stat_stop(ev, &watch->ev.stat);
}

static avow_value watch_value_of_stat(struct ev_loop *ev,
				      struct avow__watch *watch, int events)
{
	(void)ev;
	(void)events;
	return avow_bool(watch->ev.stat.attr.st_nlink != 0);
}

/* ------------------------------------------------- What outlives a loop
 *
 * libev keeps the watchers of signals and of children in tables of the process,
 * and another thread may be about to send.  So these stop when their loop is
 * destroyed, and not when somebody looks next.
 */

static void watch_on_cleanup(struct ev_loop *ev, ev_cleanup *cleanup,
			     int events)
{
	struct avow__watch *const watch = cleanup->data;
	(void)events;
	avow__watch_row(watch)->stop(ev, watch);
}

static void watch_cleanup_start(struct ev_loop *ev, struct avow__watch *watch,
				ev_cleanup *cleanup)
{
	ev_cleanup_init(cleanup, watch_on_cleanup);
	cleanup->data = watch;
	ev_cleanup_start(ev, cleanup);
}

/* Which loop each signal belongs to, for libev aborts when a second one asks;
 * and what the process did upon it before.  The lock is the one of the seat
 * that is nobody's, so that forks mind it (seat.c). */
static struct {
	const struct ev_loop *ev;
	size_t uses;
	struct sigaction before;
} watch_claims[NSIG];

/* The first watcher of a signal.  Where the program has one of its own already,
 * libev's handler was there before. */
static void watch_claim_first(struct ev_loop *ev, ev_signal *watcher)
{
	struct sigaction *const before = &watch_claims[watcher->signum].before;
	struct sigaction during;
	sigaction(watcher->signum, NULL, before);
	ev_signal_start(ev, watcher);
	sigaction(watcher->signum, NULL, &during);
	if (during.sa_handler == before->sa_handler)
		before->sa_handler = SIG_DFL;
}

/* False when it belongs to another loop. */
static bool watch_claim(struct ev_loop *ev, ev_signal *watcher)
{
	const int signum = watcher->signum;
	pthread_mutex_lock(avow__seat_mutex(0));
	const bool is_free = !watch_claims[signum].uses ||
			     watch_claims[signum].ev == ev;
	if (is_free) {
		watch_claims[signum].ev = ev;
		if (watch_claims[signum].uses++ == 0)
			watch_claim_first(ev, watcher);
		else
			ev_signal_start(ev, watcher);
	}
	pthread_mutex_unlock(avow__seat_mutex(0));
	return is_free;
}

/* When nobody watches any more libev leaves the default behind, whatever was
 * there before: a signal that the program ignores would end it. */
static void watch_unclaim(struct ev_loop *ev, ev_signal *watcher)
{
	const int signum = watcher->signum;
	struct sigaction now;
	pthread_mutex_lock(avow__seat_mutex(0));
	ev_signal_stop(ev, watcher);
	if (--watch_claims[signum].uses == 0 &&
	    sigaction(signum, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		sigaction(signum, &watch_claims[signum].before, NULL);
	pthread_mutex_unlock(avow__seat_mutex(0));
}

static bool watch_is_signal(int signum)
{
	struct sigaction action;
	return signum > 0 && signum < NSIG && signum != SIGKILL &&
	       signum != SIGSTOP && sigaction(signum, NULL, &action) == 0;
}

/* SIGCHLD is libev's own, in the default loop. */
static avow_value watch_start_signal(struct ev_loop *ev,
				     struct avow__watch *watch,
				     const char *place)
{
	const int signum = watch->ev.signal.watcher.signum;
	if (!watch_is_signal(signum))
		return WATCH_ERROR(place, EINVAL, "signal %d cannot be watched",
				   signum);
	if ((signum == SIGCHLD && !ev_is_default_loop(ev)) ||
	    !watch_claim(ev, &watch->ev.signal.watcher))
		return WATCH_ERROR(place, EBUSY,
				   "signal %d belongs to another loop", signum);
	watch_cleanup_start(ev, watch, &watch->ev.signal.cleanup);
	return avow__none;
}

static void watch_stop_signal(struct ev_loop *ev, struct avow__watch *watch)
{
	if (!ev_is_active(&watch->ev.signal.watcher))
		return;
	watch_unclaim(ev, &watch->ev.signal.watcher);
	ev_cleanup_stop(ev, &watch->ev.signal.cleanup);
}

static avow_value watch_value_of_signal(struct ev_loop *ev,
					struct avow__watch *watch, int events)
{
	(void)ev;
	(void)events;
	return avow_int(watch->ev.signal.watcher.signum);
}

/* A child that has ended already may have done so before libev could hear of
 * it: then libev is told to look. */
static avow_value watch_start_child(struct ev_loop *ev,
				    struct avow__watch *watch,
				    const char *place)
{
	const int pid = watch->ev.child.watcher.pid;
	siginfo_t ended = { .si_pid = 0 };
	if (pid < 0)
		return WATCH_ERROR(place, EINVAL, "no number of a child");
	if (!ev_is_default_loop(ev))
		return WATCH_ERROR(place, ENOTSUP,
				   "children are watched in the default loop");
	if (waitid(pid ? P_PID : P_ALL, (id_t)pid, &ended,
		   WEXITED | WNOHANG | WNOWAIT) != 0 &&
	    pid)
		return WATCH_ERROR(place, ECHILD, "there is no child %d", pid);
	ev_child_start(ev, &watch->ev.child.watcher);
	watch_cleanup_start(ev, watch, &watch->ev.child.cleanup);
	if (ended.si_pid)
		ev_feed_signal_event(ev, SIGCHLD);
	return avow__none;
}

static void watch_stop_child(struct ev_loop *ev, struct avow__watch *watch)
{
	ev_child_stop(ev, &watch->ev.child.watcher);
	ev_cleanup_stop(ev, &watch->ev.child.cleanup);
}

static avow_value watch_value_of_child(struct ev_loop *ev,
				       struct avow__watch *watch, int events)
{
	const ev_child *const child = &watch->ev.child.watcher;
	const avow_value status = avow_int(child->rstatus);
	(void)events;
	if (!child->pid)
		return avow_list(
			(avow_value[]){ avow_int(child->rpid), status }, 2);
	watch_stop_child(ev, watch);
	return status;
}

/* ----------------------------------------------------------- Forks, threads */

static avow_value watch_start_fork(struct ev_loop *ev,
				   struct avow__watch *watch, const char *place)
{
	(void)place;
	ev_fork_start(ev, &watch->ev.fork);
	return avow__none;
}

static void watch_stop_fork(struct ev_loop *ev, struct avow__watch *watch)
{
	ev_fork_stop(ev, &watch->ev.fork);
}

/*
 * The loop is there and the watcher started while `ev` is not NULL.  The lock
 * is the one of the seat of its loop, which stays when that is gone: so the
 * child of a fork does not find it held by a thread that did not come along
 * (seat.c).
 */
struct avow_waker {
	size_t uses; /* atomic */
	unsigned seat;
	struct ev_loop *ev;
	ev_async *async;
};

avow_waker *avow__waker_new(const avow_loop *loop, ev_async *async)
{
	avow_waker *const waker = avow__alloc(sizeof(*waker));
	if (waker)
		*waker = (avow_waker){ .uses = 1,
				       .seat = loop->seat,
				       .async = async };
	return waker;
}

void avow__waker_hold(avow_waker *waker)
{
	__atomic_add_fetch(&waker->uses, 1, __ATOMIC_RELAXED);
}

void avow_waker_free(avow_waker *waker)
{
	if (waker && __atomic_sub_fetch(&waker->uses, 1, __ATOMIC_ACQ_REL) == 0)
		avow__free(waker);
}

static void waker_set(avow_waker *waker, struct ev_loop *ev)
{
	pthread_mutex_lock(avow__seat_mutex(waker->seat));
	waker->ev = ev;
	pthread_mutex_unlock(avow__seat_mutex(waker->seat));
}

bool avow_watch_send(avow_waker *waker)
{
	CHECK(waker, NULL, "avow_watch_send() with a NULL waker");
	pthread_mutex_lock(avow__seat_mutex(waker->seat));
	const bool is_heard = waker->ev;
	if (is_heard)
		ev_async_send(waker->ev, waker->async);
	pthread_mutex_unlock(avow__seat_mutex(waker->seat));
	return is_heard;
}

static avow_value watch_start_async(struct ev_loop *ev,
				    struct avow__watch *watch,
				    const char *place)
{
	(void)place;
	ev_async_start(ev, &watch->ev.async.watcher);
	watch_cleanup_start(ev, watch, &watch->ev.async.cleanup);
	waker_set(watch->ev.async.waker, ev);
	return avow__none;
}

static void watch_stop_async(struct ev_loop *ev, struct avow__watch *watch)
{
	waker_set(watch->ev.async.waker, NULL);
	ev_async_stop(ev, &watch->ev.async.watcher);
	ev_cleanup_stop(ev, &watch->ev.async.cleanup);
}

static void watch_end_async(struct avow__watch *watch)
{
	avow_waker_free(watch->ev.async.waker);
}

/* ---------------------------------------------------------------- The table */

#define WATCH_SIZE(member)                  \
	(offsetof(struct avow__watch, ev) + \
	 sizeof(((struct avow__watch *)0)->ev.member))

const struct avow__watch_row avow__watch_rows[] = {
	[WATCH_DELAY] = { NULL, WATCH_SIZE(timer), watch_start_delay,
			  watch_stop_timer, watch_value_of_delay, NULL },
	[WATCH_INTERVAL] = { "tick", WATCH_SIZE(interval), watch_start_interval,
			     watch_stop_timer, watch_value_of_interval, NULL },
	[WATCH_IO] = { "ready", WATCH_SIZE(io), watch_start_io, watch_stop_io,
		       watch_value_of_io, NULL },
	[WATCH_AT] = { NULL, WATCH_SIZE(periodic), watch_start_at,
		       watch_stop_periodic, NULL, NULL },
	[WATCH_PERIODIC] = { "tick", WATCH_SIZE(periodic), watch_start_periodic,
			     watch_stop_periodic, NULL, NULL },
	[WATCH_SIGNAL] = { "signal", WATCH_SIZE(signal), watch_start_signal,
			   watch_stop_signal, watch_value_of_signal, NULL },
	[WATCH_CHILD] = { "exit", WATCH_SIZE(child), watch_start_child,
			  watch_stop_child, watch_value_of_child, NULL },
	[WATCH_STAT] = { "change", WATCH_SIZE(stat), watch_start_stat,
			 watch_stop_stat, watch_value_of_stat, NULL },
	[WATCH_FORK] = { "fork", WATCH_SIZE(fork), watch_start_fork,
			 watch_stop_fork, NULL, NULL },
	[WATCH_ASYNC] = { "wake", WATCH_SIZE(async), watch_start_async,
			  watch_stop_async, NULL, watch_end_async },
};
