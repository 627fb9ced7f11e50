/*
 * SPDX-License-Identifier: MIT
 *
 * watch.h - the one shape of all watchers: a row of a table says how each kind
 * is started and stopped and how its events become values.  watch.c makes
 * promises of them, watch_emit.c emitters.
 */
#ifndef AVOW_SRC_WATCH_H
#define AVOW_SRC_WATCH_H

#include "libev.h"

#include <string.h>

enum avow__watch_kind {
	WATCH_DELAY,
	WATCH_INTERVAL,
	WATCH_IO,
	WATCH_AT,
	WATCH_PERIODIC,
	WATCH_SIGNAL,
	WATCH_CHILD,
	WATCH_STAT,
	WATCH_FORK,
	WATCH_ASYNC
};

/*
 * A watcher of libev's, of which only the bytes of its own kind are there.
 * Those that libev or another thread can find without their loop have one more,
 * by which they end before their loop is destroyed.
 */
struct avow__watch {
	uint32_t word; /* RAW: a small one is a node */
	uint32_t kind;
	struct avow__watch *other; /* promises: an io's deadline, and its io */
	union {
		ev_watcher any; /* `data` is whose it is */
		ev_timer timer;
		struct {
			ev_timer timer;
			double every, due; /* on the clock of the system */
		} interval;
		ev_io io;
		ev_periodic periodic;
		ev_stat stat;
		ev_fork fork;
		struct {
			ev_signal watcher;
			ev_cleanup cleanup;
		} signal;
		struct {
			ev_child watcher;
			ev_cleanup cleanup;
		} child;
		struct {
			ev_async watcher;
			ev_cleanup cleanup;
			avow_waker *waker;
		} async;
	} ev;
};

struct avow__watch_row {
	const char *event; /* of the emitter */
	size_t size;	   /* of the struct, as far as it is there */
	/* An error says that this cannot be watched, and nothing was done. */
	avow_value (*start)(struct ev_loop *ev, struct avow__watch *watch,
			    const char *place);
	/* Of one that is not started: nothing. */
	void (*stop)(struct ev_loop *ev, struct avow__watch *watch);
	/* What has happened; NULL, or none, where nothing is to be said of
	 * it. */
	avow_value (*value)(struct ev_loop *ev, struct avow__watch *watch,
			    int events);
	/* The memory goes; or NULL. */
	void (*end)(struct avow__watch *watch);
};

extern const struct avow__watch_row avow__watch_rows[];

static inline const struct avow__watch_row *
avow__watch_row(const struct avow__watch *watch)
{
	return &avow__watch_rows[watch->kind];
}

typedef void avow__watch_fn(struct ev_loop *ev, ev_watcher *watcher,
			    int events);

/* In memory of at least the row's size; what is beyond a node is zeroed. */
static inline void avow__watch_init(struct avow__watch *watch,
				    enum avow__watch_kind kind,
				    avow__watch_fn *fn, void *whose)
{
	watch->word = RAW;
	watch->kind = kind;
	watch->other = NULL;
	ev_init(&watch->ev.any, fn);
	watch->ev.any.data = whose;
}

/* A copy of the `size` bytes of a path in the bytes that follow the struct. */
static inline const char *avow__watch_path(struct avow__watch *watch,
					   const char *path, size_t size)
{
	char *const copy = (char *)watch + avow__watch_row(watch)->size;
	return path ? memcpy(copy, path, size) : NULL;
}

static inline int avow__watch_events(int events)
{
	return (events & AVOW_READ ? EV_READ : 0) |
	       (events & AVOW_WRITE ? EV_WRITE : 0);
}

/* The part of an emitter's waker that is the emitter's; NULL when out of
 * memory. */
avow_waker *avow__waker_new(const avow_loop *loop, ev_async *async);
void avow__waker_hold(avow_waker *waker);

#endif
