/*
 * SPDX-License-Identifier: MIT
 *
 * watch_emit.c - emitters for what libev watches: a watcher that is started
 * when its event gets the first listener, and stopped when it loses the last.
 */
#include "watch.h"

#include "emitter.h"

struct watcher {
	avow_emitter emitter;
	const char *place;
	int64_t count; /* of events that have no value else */
	struct avow__watch watch;
};

static void watcher_on_event(struct ev_loop *ev, ev_watcher *any, int events)
{
	struct watcher *const watcher = any->data;
	const struct avow__watch_row *const row =
		avow__watch_row(&watcher->watch);
	avow_value value = row->value ? row->value(ev, &watcher->watch, events)
				      : avow__none;
	if (!value.type)
		value = avow_int(++watcher->count);
	/* The emitter may be gone after this. */
	avow_emitter_emit_at(watcher->place, &watcher->emitter,
			     avow__value_is_error(value) ? "error" : row->event,
			     value);
}

/* After ev_loop_destroy() there is nothing to start or to stop. */
static void watcher_listened(avow_emitter *emitter, bool is_on)
{
	struct watcher *const watcher = (struct watcher *)emitter;
	struct avow__watch *const watch = &watcher->watch;
	struct ev_loop *const ev = avow_loop_ev(emitter->loop);
	avow_value error = avow__none;
	if (!is_on) {
		if (ev)
			avow__watch_row(watch)->stop(ev, watch);
		return;
	}
	error = ev ? avow__watch_row(watch)->start(ev, watch, watcher->place)
		   : avow__core_error(AVOW_EABANDONED);
	if (error.type)
		avow__emitter_fail(watcher->place, emitter, error);
}

static void watcher_end(avow_emitter *emitter)
{
	struct avow__watch *const watch = &((struct watcher *)emitter)->watch;
	if (avow__watch_row(watch)->end)
		avow__watch_row(watch)->end(watch);
}

static const struct avow__emitter_class watcher_class = { watcher_listened,
							  watcher_end };

/* With `more` bytes behind the watch; NULL when out of memory. */
static struct avow__watch *watcher_new(const char *place, avow_loop *loop,
				       const char *call,
				       enum avow__watch_kind kind, size_t more)
{
	const struct avow__watch_row *const row = &avow__watch_rows[kind];
	avow__loop_entry(loop, call);
	struct watcher *const watcher = (struct watcher *)avow__emitter_new(
		loop, offsetof(struct watcher, watch) + row->size + more,
		&watcher_class, row->event);
	if (!watcher)
		return NULL;
	watcher->place = place;
	avow__watch_init(&watcher->watch, kind, watcher_on_event, watcher);
	return &watcher->watch;
}

static avow_emitter *watcher_emitter(struct avow__watch *watch)
{
	struct watcher *const watcher = watch ? watch->ev.any.data : NULL;
	return watcher ? &watcher->emitter : NULL;
}

avow_emitter *avow_interval_at(const char *place, avow_loop *loop,
			       double seconds)
{
	struct avow__watch *const watch =
		watcher_new(place, loop, "avow_interval()", WATCH_INTERVAL, 0);
	if (watch)
		watch->ev.interval.every = seconds;
	return watcher_emitter(watch);
}

avow_emitter *avow_watch_periodic_at(const char *place, avow_loop *loop,
				     double offset, double every)
{
	struct avow__watch *const watch = watcher_new(
		place, loop, "avow_watch_periodic()", WATCH_PERIODIC, 0);
	if (watch)
		ev_periodic_set(&watch->ev.periodic, offset, every, NULL);
	return watcher_emitter(watch);
}

avow_emitter *avow_watch_io_at(const char *place, avow_loop *loop, int fd,
			       int events)
{
	struct avow__watch *const watch =
		watcher_new(place, loop, "avow_watch_io()", WATCH_IO, 0);
	if (watch)
		ev_io_set(&watch->ev.io, fd, avow__watch_events(events));
	return watcher_emitter(watch);
}

avow_emitter *avow_watch_signal_at(const char *place, avow_loop *loop,
				   int signum)
{
	struct avow__watch *const watch = watcher_new(
		place, loop, "avow_watch_signal()", WATCH_SIGNAL, 0);
	if (watch)
		ev_signal_set(&watch->ev.signal.watcher, signum);
	return watcher_emitter(watch);
}

avow_emitter *avow_watch_child_at(const char *place, avow_loop *loop, int pid)
{
	struct avow__watch *const watch =
		watcher_new(place, loop, "avow_watch_child()", WATCH_CHILD, 0);
	if (watch)
		ev_child_set(&watch->ev.child.watcher, pid, 0);
	return watcher_emitter(watch);
}

avow_emitter *avow_watch_stat_at(const char *place, avow_loop *loop,
				 const char *path, double every)
{
	const size_t size = path ? strlen(path) + 1 : 0;
	struct avow__watch *const watch =
		watcher_new(place, loop, "avow_watch_stat()", WATCH_STAT, size);
	if (watch)
		ev_stat_set(&watch->ev.stat,
			    avow__watch_path(watch, path, size), every);
	return watcher_emitter(watch);
}

avow_emitter *avow_watch_fork_at(const char *place, avow_loop *loop)
{
	return watcher_emitter(
		watcher_new(place, loop, "avow_watch_fork()", WATCH_FORK, 0));
}

avow_emitter *avow_watch_async_at(const char *place, avow_loop *loop)
{
	struct avow__watch *const watch =
		watcher_new(place, loop, "avow_watch_async()", WATCH_ASYNC, 0);
	if (!watch)
		return NULL;
	ev_async_set(&watch->ev.async.watcher);
	watch->ev.async.waker = avow__waker_new(loop, &watch->ev.async.watcher);
	if (watch->ev.async.waker)
		return watcher_emitter(watch);
	avow_emitter_free(watcher_emitter(watch));
	return NULL;
}

avow_waker *avow_watch_waker(avow_emitter *emitter)
{
	CHECK(emitter, NULL, "avow_watch_waker() with a NULL emitter");
	struct avow__watch *const watch = &((struct watcher *)emitter)->watch;
	CHECK(emitter->class == &watcher_class && watch->kind == WATCH_ASYNC,
	      NULL, "avow_watch_waker() of an emitter of something else");
	avow__waker_hold(watch->ev.async.waker);
	return watch->ev.async.waker;
}

avow_emitter *(avow_interval)(avow_loop *loop, double seconds)
{
	return avow_interval_at(NULL, loop, seconds);
}

avow_emitter *(avow_watch_periodic)(avow_loop *loop, double offset,
				    double every)
{
	return avow_watch_periodic_at(NULL, loop, offset, every);
}

avow_emitter *(avow_watch_io)(avow_loop *loop, int fd, int events)
{
	return avow_watch_io_at(NULL, loop, fd, events);
}

avow_emitter *(avow_watch_signal)(avow_loop *loop, int signum)
{
	return avow_watch_signal_at(NULL, loop, signum);
}

avow_emitter *(avow_watch_child)(avow_loop *loop, int pid)
{
	return avow_watch_child_at(NULL, loop, pid);
}

avow_emitter *(avow_watch_stat)(avow_loop *loop, const char *path, double every)
{
	return avow_watch_stat_at(NULL, loop, path, every);
}

avow_emitter *(avow_watch_fork)(avow_loop *loop)
{
	return avow_watch_fork_at(NULL, loop);
}

avow_emitter *(avow_watch_async)(avow_loop *loop)
{
	return avow_watch_async_at(NULL, loop);
}
