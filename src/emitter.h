/*
 * SPDX-License-Identifier: MIT
 *
 * emitter.h - the insides of emitters, for events.c, which listens to them in
 * its own way, and for the watchers, which are emitters that do something while
 * somebody listens.
 *
 * An entry is a place in the list of an event.  It lies in memory of whoever
 * listens, and leaves in O(1).
 */
#ifndef AVOW_SRC_EMITTER_H
#define AVOW_SRC_EMITTER_H

#include "task.h"

#include <string.h>

/* ---------------------------------------------------------------- Emitters */

/* What an emitter does besides. */
struct avow__emitter_class {
	/* Its event got its first listener, or lost its last one.  The loop is
	 * there; nothing may be emitted from here. */
	void (*listened)(avow_emitter *emitter, bool is_on);
	/* Its memory goes, and perhaps the loop is gone; nobody listens. */
	void (*end)(avow_emitter *emitter);
};

#define EMITTER_FEW 8

struct avow_emitter {
	size_t uses;	 /* the owner, and frames of ours on the stack */
	avow_loop *loop; /* NULL once it has ended */
	const struct avow__emitter_class *class;
	const char *watched; /* the event that the class is told of */
	avow_promise *guard; /* tells of the end of the loop */
	bool is_closed;
	uint64_t stamp; /* numbers entries in the order of adding */
	/* Events that somebody listens to, by name. */
	struct avow__event **table;
	size_t table_size; /* a power of two */
	size_t event_count;
	struct avow__event *few[EMITTER_FEW];
};

/* An emitter at the start of `size` zeroed bytes, with a class that is told of
 * `watched`; NULL as avow_emitter_new(). */
avow_emitter *avow__emitter_new(avow_loop *loop, size_t size,
				const struct avow__emitter_class *class,
				const char *watched);
/* Emit "error" in a job of its own, unless nobody listens to the watched event
 * by then. */
void avow__emitter_fail(const char *place, avow_emitter *emitter,
			avow_value error);

/* ----------------------------------------------------------------- Entries */

struct avow__emit;
struct avow__entry;

struct avow__entry_kind {
	/* An event.  Anything may be done with the entry. */
	void (*call)(struct avow__entry *entry, struct avow__emit *emit);
	/* The emitter is closed, for this reason (a plain code), and the entry
	 * has been taken away. */
	void (*close)(struct avow__entry *entry, avow_value reason);
};

struct avow__entry {
	struct avow__entry *next, *back;
	struct avow__event *event; /* NULL: in no list */
	uint64_t stamp;
	const struct avow__entry_kind *kind;
	void *whose;
};

/* False when out of memory or closed. */
bool avow__entry_join(struct avow__entry *entry, avow_emitter *emitter,
		      const char *name, bool is_first);
/* Of one that is in no list: nothing. */
void avow__entry_leave(struct avow__entry *entry);

/* ------------------------------------------------------------------ Values
 *
 * The value of an event as something to keep: itself where nothing ends it, or
 * a use of a settled promise that all who keep it share.  Such a promise is
 * reported when its error is given to nobody.
 */
avow_value avow__emit_keep(struct avow__emit *emit);
/* An error as data.  Runs the program's code. */
avow_value avow__emit_error(struct avow__emit *emit);
/* What was kept goes to a task, which it settles. */
void avow__kept_give(struct avow__task *task, avow_value kept);
/* What was kept is not wanted.  Runs the program's code where avow__emit_error
 * made it. */
void avow__kept_drop(avow_loop *loop, avow_value kept);

/* -------------------------------------------------------------------- Ends
 *
 * A guard calls `fn(arg)` when its loop ends; NULL when out of memory or when
 * it is ending already.  Objects that may outlive their loop have one.
 */
avow_promise *avow__guard_open(avow_loop *loop, avow_job_fn *fn, void *arg);
void avow__guard_close(avow_loop *loop, avow_promise *guard);

/* A tie calls `fn(arg)` once, when its signal aborts or its loop ends, and is
 * over then; NULL when out of memory or when that has come already. */
struct avow__tie;
struct avow__tie *avow__tie_new(const char *place, avow_loop *loop,
				avow_signal *signal, avow_job_fn *fn,
				void *arg);
/* NULL does nothing. */
void avow__tie_cut(struct avow__tie *tie);

/* The loop of an object; while that is being freed, and has ended the object
 * already, handlers that still run may ask.  NULL once it is gone. */
static inline avow_loop *avow__loop_or_ending(avow_loop *loop)
{
	avow_loop *const current = avow__thread.current;
	return loop || !current || !current->is_finishing ? loop : current;
}

static inline bool avow__is_error_event(const char *name)
{
	return name[0] == 'e' && strcmp(name, "error") == 0;
}

#endif
