/*
 * SPDX-License-Identifier: MIT
 *
 * watch.c - promises for the clock and for descriptors: one watcher each,
 * stopped when the promise is cancelled.
 *
 * The watchers live in nodes of the loop's slabs, so that they cost no malloc.
 */
#include "libev.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>

/* One event to wait for.  The promise stands in the watcher's `data`. */
struct watch_io {
	uint32_t word;		/* RAW */
	ev_io watcher;
	struct watch_timer *deadline; /* or NULL */
};

struct watch_timer {
	uint32_t word;		/* RAW */
	ev_timer watcher;
	struct watch_io *io;	/* whose deadline it is, or NULL */
};

/* The block that a libev watcher stands in. */
#define watch_of(type, pointer) \
	((type *)(void *)((char *)(pointer)-offsetof(type, watcher)))

typedef char watch_io_fits[sizeof(struct watch_io) <= NODE_SIZE ? 1 : -1];
typedef char watch_timer_fits[sizeof(struct watch_timer) <= NODE_SIZE ? 1 : -1];

/* After ev_loop_destroy() there is nothing to stop. */
static void watch_timer_end(avow_loop *loop, struct watch_timer *timer)
{
	struct ev_loop *ev = avow_loop_ev(loop);
	if (ev)
		ev_timer_stop(ev, &timer->watcher);
	avow__raw_free(loop, timer);
}

static void watch_io_end(avow_loop *loop, struct watch_io *io)
{
	struct ev_loop *ev = avow_loop_ev(loop);
	if (ev)
		ev_io_stop(ev, &io->watcher);
	if (io->deadline)
		watch_timer_end(loop, io->deadline);
	avow__raw_free(loop, io);
}

/* Cancel hooks. */
static void watch_cancel_timer(void *arg)
{
	watch_timer_end(avow__slab_of(arg)->loop, arg);
}

static void watch_cancel_io(void *arg)
{
	watch_io_end(avow__slab_of(arg)->loop, arg);
}

/* The watcher has fired and is gone. */
static void watch_settle(avow_loop *loop, avow_promise *p, avow_value value)
{
	if (p->word & EXTRA)
		p->extra->job = NULL;
	else
		p->job = NULL;
	avow__resolve_root(loop, p, value);
}

static void watch_on_io(struct ev_loop *ev, ev_io *watcher, int events)
{
	struct watch_io *io = watch_of(struct watch_io, watcher);
	avow_promise *p = watcher->data;
	avow_loop *loop = avow__slab_of(io)->loop;
	(void)ev;
	watch_io_end(loop, io);
	if (events & EV_ERROR)
		watch_settle(loop, p, avow_errno(EBADF));
	else
		watch_settle(loop, p,
			     avow_int((events & EV_READ ? AVOW_READ : 0) |
				      (events & EV_WRITE ? AVOW_WRITE : 0)));
}

static void watch_on_timer(struct ev_loop *ev, ev_timer *watcher, int events)
{
	struct watch_timer *timer = watch_of(struct watch_timer, watcher);
	avow_promise *p = watcher->data;
	avow_loop *loop = avow__slab_of(timer)->loop;
	struct watch_io *io = timer->io;
	(void)ev;
	(void)events;
	if (io)
		watch_io_end(loop, io);
	else
		watch_timer_end(loop, timer);
	watch_settle(loop, p, io ? avow_int(AVOW_TIMEOUT) : avow_none());
}

static struct watch_timer *watch_timer_new(avow_loop *loop, avow_promise *p,
					   double seconds)
{
	struct watch_timer *timer = avow__node_alloc(loop);
	if (!timer)
		return NULL;
	timer->word = RAW;
	timer->io = NULL;
	ev_timer_init(&timer->watcher, watch_on_timer, seconds, 0.);
	timer->watcher.data = p;
	return timer;
}

static void watch_timer_start(struct ev_loop *ev, struct watch_timer *timer)
{
	/* Outside of its loop libev's clock stands still. */
	if (ev_depth(ev) == 0)
		ev_now_update(ev);
	ev_timer_start(ev, &timer->watcher);
}

/* A promise to settle by a watcher; NULL when `*result` is the answer. */
static avow_promise *watch_open(const char *place, avow_loop *loop,
				const char *call, avow_promise **result)
{
	bool is_open;
	CHECK(loop, NULL, "%s with a NULL loop", call);
	CHECK(loop->thread == avow__self(), NULL,
	      "%s from another thread than the loop's", call);
	*result = avow__root_open(loop, place, SEALED, &is_open);
	if (!is_open)
		return NULL;
	if (!avow_loop_ev(loop)) {
		avow__resolve_root(loop, *result,
				   avow__core_error(AVOW_EABANDONED));
		return NULL;
	}
	return *result;
}

static bool watch_is_time(double seconds)
{
	return isfinite(seconds) && seconds >= 0;
}

static void watch_reject_time(avow_loop *loop, avow_promise *p, double seconds)
{
	avow__resolve_root(loop, p,
			   avow_error_at(p->place, &avow_core_domain,
					 AVOW_EINVALID,
					 "a delay of %g seconds", seconds));
}

avow_promise *avow_delay_at(const char *place, avow_loop *loop, double seconds)
{
	avow_promise *result;
	avow_promise *p = watch_open(place, loop, "avow_delay()", &result);
	if (!p)
		return result;
	if (!watch_is_time(seconds)) {
		watch_reject_time(loop, p, seconds);
		return p;
	}
	struct watch_timer *timer = watch_timer_new(loop, p, seconds);
	if (!timer) {
		avow__resolve_root(loop, p, avow_errno(ENOMEM));
		return p;
	}
	p->job = watch_cancel_timer;
	p->arg = timer;
	watch_timer_start(avow_loop_ev(loop), timer);
	return p;
}

avow_promise *avow_immediate_at(const char *place, avow_loop *loop)
{
	avow_promise *result;
	avow_promise *p = watch_open(place, loop, "avow_immediate()", &result);
	if (!p)
		return result;
	p->word |= QUEUED;
	if (!loop->immediates)
		loop->driver->turn(loop);
	avow__ring_append(&loop->immediates, p);
	return p;
}

/* libev aborts on a closed descriptor, and makes a table as large as the
 * number it is given: so ask the system first. */
static bool watch_is_fd(int fd)
{
	return fd >= 0 && fcntl(fd, F_GETFD) != -1;
}

avow_promise *avow_ready_at(const char *place, avow_loop *loop, int fd,
			    int events, double seconds)
{
	const int wanted = (events & AVOW_READ ? EV_READ : 0) |
			   (events & AVOW_WRITE ? EV_WRITE : 0);
	avow_promise *result;
	avow_promise *p = watch_open(place, loop, "waiting for a descriptor",
				     &result);
	if (!p)
		return result;
	if (!watch_is_time(seconds)) {
		watch_reject_time(loop, p, seconds);
		return p;
	}
	if (!watch_is_fd(fd) || !wanted) {
		avow__resolve_root(loop, p,
				   avow_errno(wanted ? EBADF : EINVAL));
		return p;
	}
	struct watch_io *io = avow__node_alloc(loop);
	if (!io)
		goto fail_io;
	io->word = RAW;
	io->deadline = NULL;
	if (seconds > 0) {
		io->deadline = watch_timer_new(loop, p, seconds);
		if (!io->deadline)
			goto fail_deadline;
		io->deadline->io = io;
		watch_timer_start(avow_loop_ev(loop), io->deadline);
	}
	ev_io_init(&io->watcher, watch_on_io, fd, wanted);
	io->watcher.data = p;
	p->job = watch_cancel_io;
	p->arg = io;
	ev_io_start(avow_loop_ev(loop), &io->watcher);
	return p;

fail_deadline:
	avow__raw_free(loop, io);
fail_io:
	avow__resolve_root(loop, p, avow_errno(ENOMEM));
	return p;
}

avow_promise *(avow_delay)(avow_loop *loop, double seconds)
{
	return avow_delay_at(NULL, loop, seconds);
}

avow_promise *(avow_immediate)(avow_loop *loop)
{
	return avow_immediate_at(NULL, loop);
}

avow_promise *(avow_readable)(avow_loop *loop, int fd)
{
	return avow_ready_at(NULL, loop, fd, AVOW_READ, 0);
}

avow_promise *(avow_writable)(avow_loop *loop, int fd)
{
	return avow_ready_at(NULL, loop, fd, AVOW_WRITE, 0);
}
