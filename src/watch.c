/*
 * SPDX-License-Identifier: MIT
 *
 * watch.c - promises for what libev watches: one watcher each, stopped when the
 * promise is cancelled.
 *
 * Timers and descriptors live in nodes of the loop's slabs, so that they cost
 * no malloc; larger watchers are blocks of the allocator.
 */
#include "watch.h"

#include "task.h"

static void shot_free(avow_loop *loop, struct avow__watch *shot)
{
	if (avow__watch_row(shot)->size <= NODE_SIZE)
		avow__raw_free(loop, shot);
	else
		avow__free(shot);
}

/* After ev_loop_destroy() there is nothing to stop. */
static inline void shot_stop(avow_loop *loop, struct avow__watch *shot)
{
	struct ev_loop *const ev = avow_loop_ev(loop);
	if (ev)
		avow__watch_row(shot)->stop(ev, shot);
	shot_free(loop, shot);
}

static void shot_end(avow_loop *loop, struct avow__watch *shot)
{
	if (shot->other)
		shot_stop(loop, shot->other);
	shot_stop(loop, shot);
}

/* The cancel hook. */
static void shot_cancel(void *arg)
{
	struct avow__watch *const shot = arg;
	shot_end(avow__slab_of(shot->ev.any.data)->loop, shot);
}

static void shot_on_event(struct ev_loop *ev, ev_watcher *watcher, int events)
{
	struct avow__watch *const shot =
		(void *)((char *)watcher - offsetof(struct avow__watch, ev));
	const struct avow__watch_row *const row = avow__watch_row(shot);
	avow_promise *const p = watcher->data;
	avow_loop *const loop = avow__slab_of(p)->loop;
	const avow_value value = row->value ? row->value(ev, shot, events)
					    : avow__none;
	shot_end(loop, shot);
	/* There is nothing left to cancel. */
	if (p->word & EXTRA)
		p->extra->job = NULL;
	else
		p->job = NULL;
	avow__resolve_root(loop, p, value);
}

/* A promise to settle by a watcher; NULL when `*result` is the answer. */
static avow_promise *shot_open(const char *place, avow_loop *loop,
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

/* A watcher for `p`, with `more` bytes behind it; NULL when out of memory, and
 * `p` is rejected then. */
static inline struct avow__watch *shot_new(avow_loop *loop, avow_promise *p,
					   enum avow__watch_kind kind,
					   size_t more)
{
	const size_t size = avow__watch_rows[kind].size + more;
	struct avow__watch *const shot =
		size <= NODE_SIZE ? avow__node_alloc(loop) : avow__alloc(size);
	if (!shot) {
		avow__resolve_root(loop, p, avow_errno(ENOMEM));
		return NULL;
	}
	if (size > NODE_SIZE)
		memset(shot, 0, size);
	avow__watch_init(shot, kind, shot_on_event, p);
	return shot;
}

/* Its arguments are set.  `p` is its promise, which an error rejects. */
static inline bool shot_start(avow_loop *loop, avow_promise *p,
			      struct avow__watch *shot)
{
	const avow_value error = avow__watch_row(shot)->start(
		avow_loop_ev(loop), shot, p->place);
	if (UNLIKELY(error.type)) {
		shot_free(loop, shot);
		avow__resolve_root(loop, p, error);
		return false;
	}
	p->job = shot_cancel;
	p->arg = shot;
	return true;
}

/* Both; NULL when `*result` is the answer. */
static inline struct avow__watch *shot_make(const char *place, avow_loop *loop,
					    const char *call,
					    enum avow__watch_kind kind,
					    size_t more, avow_promise **result)
{
	avow_promise *const p = shot_open(place, loop, call, result);
	return p ? shot_new(loop, p, kind, more) : NULL;
}

/* ------------------------------------------------------ Timers, descriptors */

avow_promise *avow_delay_at(const char *place, avow_loop *loop, double seconds)
{
	avow_promise *p;
	struct avow__watch *const shot =
		shot_make(place, loop, "avow_delay()", WATCH_DELAY, 0, &p);
	if (shot) {
		ev_timer_set(&shot->ev.timer, seconds, 0.);
		shot_start(loop, p, shot);
	}
	return p;
}

avow_promise *avow_immediate_at(const char *place, avow_loop *loop)
{
	avow_promise *result;
	avow_promise *p = shot_open(place, loop, "avow_immediate()", &result);
	if (!p)
		return result;
	p->word |= QUEUED;
	if (!loop->immediates)
		loop->driver->turn(loop);
	avow__ring_append(&loop->immediates, p);
	return p;
}

/* The deadline of `io`, if it has one.  False when it cannot be. */
static bool shot_limit(avow_loop *loop, avow_promise *p, struct avow__watch *io,
		       double seconds)
{
	if (seconds == 0)
		return true;
	struct avow__watch *const timer = shot_new(loop, p, WATCH_DELAY, 0);
	if (!timer)
		return false;
	ev_timer_set(&timer->ev.timer, seconds, 0.);
	if (!shot_start(loop, p, timer))
		return false;
	timer->other = io;
	io->other = timer;
	return true;
}

avow_promise *avow_ready_at(const char *place, avow_loop *loop, int fd,
			    int events, double seconds)
{
	avow_promise *p;
	struct avow__watch *const io = shot_make(
		place, loop, "waiting for a descriptor", WATCH_IO, 0, &p);
	if (!io)
		return p;
	if (!shot_limit(loop, p, io, seconds)) {
		avow__raw_free(loop, io);
		return p;
	}
	struct avow__watch *const timer = io->other;
	ev_io_set(&io->ev.io, fd, avow__watch_events(events));
	if (!shot_start(loop, p, io) && timer)
		shot_stop(loop, timer);
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

/* -------------------------------------------------------- All the others */

avow_promise *avow_at_at(const char *place, avow_loop *loop,
			 const avow_at_options *options)
{
	avow_promise *p;
	struct avow__watch *const shot =
		shot_make(place, loop, "avow_at()", WATCH_AT, 0, &p);
	if (shot) {
		ev_periodic_set(&shot->ev.periodic, options->seconds, 0., NULL);
		shot_start(loop, p, shot);
	}
	return avow__task_abortable(place, p, options->signal);
}

avow_promise *avow_signalled_at(const char *place, avow_loop *loop,
				const avow_signalled_options *options)
{
	avow_promise *p;
	struct avow__watch *const shot =
		shot_make(place, loop, "avow_signalled()", WATCH_SIGNAL, 0, &p);
	if (shot) {
		ev_signal_set(&shot->ev.signal.watcher, options->signum);
		shot_start(loop, p, shot);
	}
	return avow__task_abortable(place, p, options->signal);
}

avow_promise *avow_exited_at(const char *place, avow_loop *loop,
			     const avow_exited_options *options)
{
	/* To libev 0 is any child. */
	const int pid = options->pid ? options->pid : -1;
	avow_promise *p;
	struct avow__watch *const shot =
		shot_make(place, loop, "avow_exited()", WATCH_CHILD, 0, &p);
	if (shot) {
		ev_child_set(&shot->ev.child.watcher, pid, 0);
		shot_start(loop, p, shot);
	}
	return avow__task_abortable(place, p, options->signal);
}

avow_promise *avow_changed_at(const char *place, avow_loop *loop,
			      const avow_changed_options *options)
{
	const char *const path = options->path;
	const size_t size = path ? strlen(path) + 1 : 0;
	avow_promise *p;
	struct avow__watch *const shot =
		shot_make(place, loop, "avow_changed()", WATCH_STAT, size, &p);
	if (shot) {
		ev_stat_set(&shot->ev.stat, avow__watch_path(shot, path, size),
			    options->interval);
		shot_start(loop, p, shot);
	}
	return avow__task_abortable(place, p, options->signal);
}

avow_promise *avow_forked_at(const char *place, avow_loop *loop)
{
	avow_promise *p;
	struct avow__watch *const shot =
		shot_make(place, loop, "avow_forked()", WATCH_FORK, 0, &p);
	if (shot)
		shot_start(loop, p, shot);
	return p;
}

avow_promise *(avow_at)(avow_loop *loop, double seconds)
{
	return avow_at_at(NULL, loop, &(avow_at_options){ .seconds = seconds });
}

avow_promise *(avow_signalled)(avow_loop *loop, int signum)
{
	return avow_signalled_at(NULL, loop,
				 &(avow_signalled_options){ .signum = signum });
}

avow_promise *(avow_exited)(avow_loop *loop, int pid)
{
	return avow_exited_at(NULL, loop, &(avow_exited_options){ .pid = pid });
}

avow_promise *(avow_changed)(avow_loop *loop, const char *path)
{
	return avow_changed_at(NULL, loop,
			       &(avow_changed_options){ .path = path });
}

avow_promise *(avow_forked)(avow_loop *loop)
{
	return avow_forked_at(NULL, loop);
}
