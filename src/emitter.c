/*
 * SPDX-License-Identifier: MIT
 *
 * emitter.c - emitters: listeners by the name of their event, emitting, and the
 * next event as a promise.
 *
 * Listeners are the program's code and are called in the middle of a list.  An
 * emit keeps nothing but the entry that comes next, and whoever takes an entry
 * away moves the emits that stand before it on.  Entries that are added
 * meanwhile have a later stamp, and are passed by.
 */
#include "emitter.h"

struct avow__event {
	struct avow__event *next; /* of the same bucket */
	avow_emitter *emitter;
	struct avow__entry *first, *last;
	size_t count;
	struct avow__emit *emits; /* on the stack, innermost first */
	uint32_t hash;
	char name[];
};

struct avow__emit {
	struct avow__emit *outer; /* of the same event */
	struct avow__entry *next; /* to be called */
	avow_loop *loop;
	const char *place;
	avow_value value;
	avow_promise *shared; /* holds the value, when somebody keeps it */
	bool is_handled;
};

/* -------------------------------------------------------------------- Ends */

avow_promise *avow__guard_open(avow_loop *loop, avow_job_fn *fn, void *arg)
{
	bool is_open;
	avow_promise *const guard =
		avow__root_open(loop, NULL, SEALED | HANDLED, &is_open);
	if (!is_open)
		return NULL;
	guard->job = fn;
	guard->arg = arg;
	return guard;
}

void avow__guard_close(avow_loop *loop, avow_promise *guard)
{
	guard->job = NULL;
	avow__resolve_root(loop, guard, avow__none);
}

/* A promise that only the signal is interested in. */
struct avow__tie {
	struct avow__task task;
	avow_job_fn *fn; /* NULL: cut */
	void *arg;
	avow_promise *end; /* what the signal cancels */
};

static void tie_end(struct avow__task *task, bool is_cancelled)
{
	const struct avow__tie *const tie = (const struct avow__tie *)task;
	(void)is_cancelled;
	if (tie->fn)
		tie->fn(tie->arg);
}

struct avow__tie *avow__tie_new(const char *place, avow_loop *loop,
				avow_signal *signal, avow_job_fn *fn, void *arg)
{
	avow_promise *p;
	if (avow_signal_is_aborted(signal))
		return NULL;
	struct avow__tie *const tie = avow__task_open(
		loop, place, "a signal", sizeof(*tie), tie_end, &p);
	if (!tie)
		return NULL;
	tie->end = avow_abortable_at(place, p, signal);
	if (tie->end->word & IMMORTAL) {
		avow__task_settle(&tie->task, avow__none);
		return NULL;
	}
	/* The reason is told to whoever waits, if anybody does. */
	tie->end->word |= HANDLED;
	tie->fn = fn;
	tie->arg = arg;
	return tie;
}

void avow__tie_cut(struct avow__tie *tie)
{
	if (!tie)
		return;
	tie->fn = NULL;
	avow_cancel(tie->end);
}

/* ------------------------------------------------------------------ Events */

/* FNV-1a. */
static uint32_t event_hash(const char *name)
{
	uint32_t hash = 2166136261u;
	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash;
}

static struct avow__event **event_bucket(const avow_emitter *emitter,
					 uint32_t hash)
{
	return &emitter->table[hash & (emitter->table_size - 1)];
}

static struct avow__event *event_find(const avow_emitter *emitter,
				      const char *name)
{
	const uint32_t hash = event_hash(name);
	struct avow__event *event = *event_bucket(emitter, hash);
	while (event && (event->hash != hash || strcmp(event->name, name) != 0))
		event = event->next;
	return event;
}

/* Twice as many buckets.  Without the memory for that it goes on, slower. */
static void event_table_grow(avow_emitter *emitter)
{
	const size_t size = emitter->table_size * 2;
	struct avow__event **const old = emitter->table;
	struct avow__event **const table = avow__alloc(size * sizeof(*table));
	if (!table)
		return;
	memset(table, 0, size * sizeof(struct avow__event *));
	const size_t old_size = emitter->table_size;
	emitter->table = table;
	emitter->table_size = size;
	for (size_t i = 0; i < old_size; i++) {
		for (struct avow__event *event = old[i], *next; event;
		     event = next) {
			struct avow__event **const bucket =
				event_bucket(emitter, event->hash);
			next = event->next;
			event->next = *bucket;
			*bucket = event;
		}
	}
	if (old != emitter->few)
		avow__free(old);
}

static struct avow__event *event_new(avow_emitter *emitter, const char *name)
{
	const size_t size = strlen(name) + 1;
	struct avow__event *const event = avow__alloc(sizeof(*event) + size);
	if (!event)
		return NULL;
	memset(event, 0, sizeof(*event));
	memcpy(event->name, name, size);
	if (emitter->event_count == emitter->table_size)
		event_table_grow(emitter);
	struct avow__event **const bucket =
		event_bucket(emitter, event_hash(name));
	event->hash = event_hash(name);
	event->emitter = emitter;
	event->next = *bucket;
	*bucket = event;
	emitter->event_count++;
	return event;
}

/* Nobody listens, and no emit stands in it: it goes. */
static void event_trim(struct avow__event *event)
{
	avow_emitter *const emitter = event->emitter;
	if (event->count || event->emits)
		return;
	struct avow__event **link = event_bucket(emitter, event->hash);
	while (*link != event)
		link = &(*link)->next;
	*link = event->next;
	emitter->event_count--;
	avow__free(event);
}

static void event_tell(const struct avow__event *event, bool is_on)
{
	avow_emitter *const emitter = event->emitter;
	if (emitter->class && strcmp(event->name, emitter->watched) == 0)
		emitter->class->listened(emitter, is_on);
}

bool avow__entry_join(struct avow__entry *entry, avow_emitter *emitter,
		      const char *name, bool is_first)
{
	struct avow__event *event = NULL;
	if (!emitter->is_closed) {
		event = event_find(emitter, name);
		if (!event)
			event = event_new(emitter, name);
	}
	if (!event)
		return false;
	entry->event = event;
	entry->stamp = ++emitter->stamp;
	entry->back = is_first ? NULL : event->last;
	entry->next = is_first ? event->first : NULL;
	*(entry->back ? &entry->back->next : &event->first) = entry;
	*(entry->next ? &entry->next->back : &event->last) = entry;
	if (event->count++ == 0)
		event_tell(event, true);
	return true;
}

void avow__entry_leave(struct avow__entry *entry)
{
	struct avow__event *const event = entry->event;
	if (!event)
		return;
	entry->event = NULL;
	for (struct avow__emit *emit = event->emits; emit; emit = emit->outer) {
		if (emit->next == entry)
			emit->next = entry->next;
	}
	*(entry->back ? &entry->back->next : &event->first) = entry->next;
	*(entry->next ? &entry->next->back : &event->last) = entry->back;
	if (--event->count == 0)
		event_tell(event, false);
	event_trim(event);
}

/* -------------------------------------------------------- Life and its end */

static void emitter_unuse(avow_emitter *emitter)
{
	if (--emitter->uses > 0)
		return;
	if (emitter->class)
		emitter->class->end(emitter);
	if (emitter->table != emitter->few)
		avow__free(emitter->table);
	avow__free(emitter);
}

/* Each entry is away before its end is told; no more can come.  Told ends are
 * the program's code, and may empty other buckets, but none fills. */
static void emitter_close(avow_emitter *emitter, int code)
{
	emitter->is_closed = true;
	emitter->uses++;
	for (size_t i = 0; i < emitter->table_size; i++) {
		struct avow__event *event = emitter->table[i];
		while (event) {
			struct avow__entry *const entry = event->first;
			if (!entry) {
				event = event->next; /* an emit stands in it */
				continue;
			}
			avow__entry_leave(entry);
			entry->kind->close(entry, avow__core_error(code));
			event = emitter->table[i];
		}
	}
	emitter_unuse(emitter);
}

static void emitter_on_loop_end(void *arg)
{
	avow_emitter *const emitter = arg;
	emitter->guard = NULL;
	emitter->uses++;
	emitter_close(emitter, AVOW_EABANDONED);
	emitter->loop = NULL;
	emitter_unuse(emitter);
}

avow_emitter *avow__emitter_new(avow_loop *loop, size_t size,
				const struct avow__emitter_class *class,
				const char *watched)
{
	avow_emitter *const emitter = avow__alloc(size);
	avow_promise *const guard =
		emitter ? avow__guard_open(loop, emitter_on_loop_end, emitter)
			: NULL;
	if (!guard) {
		if (emitter)
			avow__free(emitter);
		return NULL;
	}
	memset(emitter, 0, size);
	emitter->uses = 1;
	emitter->loop = loop;
	emitter->class = class;
	emitter->watched = watched;
	emitter->guard = guard;
	emitter->table = emitter->few;
	emitter->table_size = EMITTER_FEW;
	return emitter;
}

avow_emitter *avow_emitter_new(avow_loop *loop)
{
	avow__loop_entry(loop, "avow_emitter_new()");
	return avow__emitter_new(loop, sizeof(avow_emitter), NULL, NULL);
}

/* The checks at every entry; the loop, or NULL once it is gone. */
static avow_loop *emitter_entry(const avow_emitter *emitter, const char *name,
				const char *place, const char *call)
{
	CHECK(emitter, place, "%s with a NULL emitter", call);
	CHECK(name, place, "%s with a NULL name", call);
	CHECK(!emitter->loop || emitter->loop->thread == avow__self(), place,
	      "%s from another thread than the loop's", call);
	return emitter->loop;
}

void avow_emitter_free(avow_emitter *emitter)
{
	if (!emitter)
		return;
	avow_loop *const loop =
		emitter_entry(emitter, "", NULL, "avow_emitter_free()");
	if (!loop) {
		emitter_unuse(emitter);
		return;
	}
	avow__enter(loop);
	if (!emitter->is_closed) {
		avow__guard_close(loop, emitter->guard);
		emitter->guard = NULL;
		emitter_close(emitter, AVOW_ECLOSED);
	}
	emitter_unuse(emitter);
	avow__leave(loop);
}

/* --------------------------------------------------------------- Listeners */

struct listening {
	struct avow__entry entry;
	size_t uses; /* its entry, and calls on the stack */
	avow_event_fn *fn;
	void *arg;
	avow_drop_fn *drop;
	struct avow__tie *tie;
	bool is_once;
};

static void listening_unuse(struct listening *listening)
{
	avow_drop_fn *const drop = listening->drop;
	void *const arg = listening->arg;
	if (--listening->uses > 0)
		return;
	avow__free(listening);
	if (drop)
		drop(arg);
}

/* It has left its event. */
static void listening_end(struct listening *listening)
{
	struct avow__tie *const tie = listening->tie;
	listening->tie = NULL;
	avow__tie_cut(tie);
	listening_unuse(listening);
}

static void listening_on_signal(void *arg)
{
	struct listening *const listening = arg;
	listening->tie = NULL;
	avow__entry_leave(&listening->entry);
	listening_unuse(listening);
}

/* A listener is no handler, whatever handler has emitted: what that may take
 * and return is none of its business. */
static void listening_run(const struct listening *listening, avow_value value)
{
	avow_loop *const current = avow__thread.current;
	avow_promise *const running = current ? current->running : NULL;
	if (current)
		current->running = NULL;
	listening->fn(value, listening->arg);
	if (current)
		current->running = running;
}

static void listening_call(struct avow__entry *entry, struct avow__emit *emit)
{
	struct listening *const listening = entry->whose;
	emit->is_handled = true;
	listening->uses++;
	if (listening->is_once) {
		avow__entry_leave(entry);
		listening_end(listening);
	}
	listening_run(listening, emit->value);
	listening_unuse(listening);
}

static void listening_close(struct avow__entry *entry, avow_value reason)
{
	(void)reason;
	listening_end(entry->whose);
}

static const struct avow__entry_kind listening_kind = { listening_call,
							listening_close };

/* A listener on its event; NULL when out of memory or closed. */
static struct listening *listening_new(avow_emitter *emitter, const char *name,
				       avow_event_fn *fn,
				       const avow_listener *options)
{
	struct listening *const listening = avow__alloc(sizeof(*listening));
	if (!listening)
		return NULL;
	*listening = (struct listening){
		.entry = { .kind = &listening_kind, .whose = listening },
		.uses = 1,
		.fn = fn,
		.arg = options->arg,
		.is_once = options->once,
	};
	if (avow__entry_join(&listening->entry, emitter, name, options->first))
		return listening;
	avow__free(listening);
	return NULL;
}

static bool listening_add(const char *place, avow_emitter *emitter,
			  const char *name, avow_event_fn *fn,
			  const avow_listener *options)
{
	struct listening *const listening =
		emitter->loop ? listening_new(emitter, name, fn, options)
			      : NULL;
	if (!listening)
		return false;
	if (options->signal) {
		listening->tie = avow__tie_new(place, emitter->loop,
					       options->signal,
					       listening_on_signal, listening);
		if (!listening->tie) {
			avow__entry_leave(&listening->entry);
			listening_unuse(listening);
			return false;
		}
	}
	listening->drop = options->drop;
	return true;
}

bool avow_emitter_on_at(const char *place, avow_emitter *emitter,
			const char *name, avow_event_fn *fn,
			const avow_listener *listener)
{
	avow_loop *const loop =
		emitter_entry(emitter, name, place, "avow_emitter_on()");
	CHECK(fn, place, "avow_emitter_on() with a NULL function");
	if (listening_add(place, emitter, name, fn, listener))
		return true;
	if (!listener->drop)
		return false;
	if (loop)
		avow__enter(loop);
	listener->drop(listener->arg);
	if (loop)
		avow__leave(loop);
	return false;
}

bool avow_emitter_once_at(const char *place, avow_emitter *emitter,
			  const char *name, avow_event_fn *fn,
			  const avow_listener *listener)
{
	avow_listener once = *listener;
	once.once = true;
	return avow_emitter_on_at(place, emitter, name, fn, &once);
}

bool(avow_emitter_on)(avow_emitter *emitter, const char *name,
		      avow_event_fn *fn, void *arg)
{
	return avow_emitter_on_at(NULL, emitter, name, fn,
				  &(avow_listener){ .arg = arg });
}

bool(avow_emitter_once)(avow_emitter *emitter, const char *name,
			avow_event_fn *fn, void *arg)
{
	return avow_emitter_once_at(NULL, emitter, name, fn,
				    &(avow_listener){ .arg = arg });
}

static bool listening_is(const struct avow__entry *entry, avow_event_fn *fn,
			 const void *arg)
{
	if (entry->kind != &listening_kind)
		return false;
	const struct listening *const listening = entry->whose;
	return listening->fn == fn && listening->arg == arg;
}

bool avow_emitter_off(avow_emitter *emitter, const char *name,
		      avow_event_fn *fn, void *arg)
{
	avow_loop *const loop =
		emitter_entry(emitter, name, NULL, "avow_emitter_off()");
	const struct avow__event *const event = event_find(emitter, name);
	struct avow__entry *entry = event ? event->last : NULL;
	while (entry && !listening_is(entry, fn, arg))
		entry = entry->back;
	if (!entry)
		return false;
	avow__enter(loop);
	avow__entry_leave(entry);
	listening_end(entry->whose);
	avow__leave(loop);
	return true;
}

size_t avow_emitter_count(const avow_emitter *emitter, const char *name)
{
	(void)emitter_entry(emitter, name, NULL, "avow_emitter_count()");
	const struct avow__event *const event = event_find(emitter, name);
	return event ? event->count : 0;
}

/* ---------------------------------------------------------------- Emitting */

avow_value avow__emit_keep(struct avow__emit *emit)
{
	const avow_value value = emit->value;
	const avow_type *const type = value.type;
	avow_loop *const loop = emit->loop;
	const bool is_plain = !type || !type->drop || !value.as.ptr;
	if (is_plain && (!type || (!type->is_error && !type->then)))
		return value;
	avow_promise *shared = emit->shared;
	if (!shared) {
		shared = avow__root(loop, emit->place, SEALED);
		if (shared->word & IMMORTAL)
			return is_plain && type->is_error ? value
							  : avow_errno(ENOMEM);
		const bool was = avow__call_begin(loop);
		shared->uses = 1;
		avow__unseen(shared);
		avow__settle(loop, shared, value,
			     type->is_error ? AVOW_REJECTED : AVOW_FULFILLED,
			     NULL);
		avow__call_end(loop, was);
		emit->shared = shared;
	}
	shared->uses++;
	return avow_own(shared, &avow_promise_type);
}

avow_value avow__emit_error(struct avow__emit *emit)
{
	emit->is_handled = true;
	return avow_reify(avow_copy(emit->value));
}

void avow__kept_give(struct avow__task *task, avow_value kept)
{
	avow_loop *const loop = avow__task_loop(task);
	avow_promise *const shared = kept.as.ptr;
	if (kept.type != &avow_promise_type) {
		avow__task_settle(task, kept);
		return;
	}
	const bool was = avow__call_begin(loop);
	shared->word |= HANDLED;
	avow__settle_alias(loop, task->promise, shared, false);
	avow__call_end(loop, was);
}

void avow__kept_drop(avow_loop *loop, avow_value kept)
{
	if (kept.type == &avow_promise_type)
		avow__unuse_in_call(loop, kept.as.ptr);
	else
		avow__value_drop(kept);
}

/* Call all entries that were there at the start.  Ends: later ones have later
 * stamps, and are passed by. */
static size_t emit_run(struct avow__event *event, struct avow__emit *emit)
{
	const uint64_t stamp = event->emitter->stamp;
	size_t called = 0;
	emit->outer = event->emits;
	emit->next = event->first;
	event->emits = emit;
	while (emit->next) {
		struct avow__entry *const entry = emit->next;
		emit->next = entry->next;
		if (entry->stamp > stamp)
			continue;
		called++;
		entry->kind->call(entry, emit);
	}
	event->emits = emit->outer;
	event_trim(event);
	return called;
}

static void emit_value_end(const struct avow__emit *emit)
{
	avow_promise *const shared = emit->shared;
	if (!shared) {
		avow__value_drop(emit->value);
		return;
	}
	if (emit->is_handled)
		shared->word |= HANDLED;
	avow__unuse_in_call(emit->loop, shared);
}

static size_t emit_open(const char *place, avow_emitter *emitter,
			const char *name, avow_value value)
{
	avow_loop *const loop = emitter->loop;
	struct avow__emit emit = { .loop = loop, .place = place };
	size_t called = 0;
	const bool is_error = avow__is_error_event(name);
	emit.value = is_error && !avow__value_is_error(value)
			     ? avow__reason(place, value)
			     : value;
	struct avow__event *const event = event_find(emitter, name);
	if (event)
		called = emit_run(event, &emit);
	if (!called && is_error && !emitter->is_closed)
		(void)avow_rejected_at(place, loop, emit.value);
	else
		emit_value_end(&emit);
	return called;
}

size_t avow_emitter_emit_at(const char *place, avow_emitter *emitter,
			    const char *name, avow_value value)
{
	avow_loop *const loop =
		emitter_entry(emitter, name, place, "avow_emitter_emit()");
	CHECK(value.type != &avow_promise_type, place,
	      "avow_emitter_emit() of avow_await(): emit what comes of it");
	avow__given_check(value);
	if (!loop || emitter->is_closed) {
		avow__value_drop(value);
		return 0;
	}
	avow__enter(loop);
	emitter->uses++;
	const size_t called = emit_open(place, emitter, name, value);
	emitter_unuse(emitter);
	avow__leave(loop);
	return called;
}

size_t(avow_emitter_emit)(avow_emitter *emitter, const char *name,
			  avow_value value)
{
	return avow_emitter_emit_at(NULL, emitter, name, value);
}

/* The failure of a class, in its job. */
static avow_value emitter_on_fail(avow_value error, void *arg)
{
	avow_emitter *const emitter = arg;
	if (!emitter->is_closed && event_find(emitter, emitter->watched))
		avow_emitter_emit_at(avow_error_place(error), emitter, "error",
				     avow_take(error));
	return avow_none();
}

static void emitter_drop(void *emitter)
{
	emitter_unuse(emitter);
}

void avow__emitter_fail(const char *place, avow_emitter *emitter,
			avow_value error)
{
	emitter->uses++;
	avow_on_at(place, avow_rejected_at(place, emitter->loop, error),
		   &(const avow_handlers){ .rejected = emitter_on_fail,
					   .arg = emitter,
					   .drop = emitter_drop });
}

/* -------------------------------------------------------------------- Once */

struct once {
	struct avow__task task;
	struct avow__entry entry;
	struct avow__entry error; /* not where it waits for that */
};

static void once_end(struct avow__task *task, bool is_cancelled)
{
	struct once *const once = (struct once *)task;
	(void)is_cancelled;
	avow__entry_leave(&once->entry);
	avow__entry_leave(&once->error);
}

/* The program's code may settle it, while its error is copied. */
static void once_fulfil_with_error(struct once *once, struct avow__emit *emit)
{
	avow_promise *const p = once->task.promise;
	p->uses++;
	const avow_value error = avow__emit_error(emit);
	if (avow__is_settled(p))
		avow__value_drop(error);
	else
		avow__task_settle(&once->task, error);
	avow__unuse_in_call(emit->loop, p);
}

static void once_call(struct avow__entry *entry, struct avow__emit *emit)
{
	struct once *const once = entry->whose;
	if (entry == &once->entry && avow__is_error_event(entry->event->name))
		once_fulfil_with_error(once, emit);
	else
		avow__kept_give(&once->task, avow__emit_keep(emit));
}

static void once_close(struct avow__entry *entry, avow_value reason)
{
	struct once *const once = entry->whose;
	avow__task_settle(&once->task, reason);
}

static const struct avow__entry_kind once_kind = { once_call, once_close };

static avow_value once_join(struct once *once, avow_emitter *emitter,
			    const char *name)
{
	once->entry.kind = once->error.kind = &once_kind;
	once->entry.whose = once->error.whose = once;
	if (emitter->is_closed)
		return avow__core_error(AVOW_ECLOSED);
	if (!avow__entry_join(&once->entry, emitter, name, false) ||
	    (!avow__is_error_event(name) &&
	     !avow__entry_join(&once->error, emitter, "error", false)))
		return avow_errno(ENOMEM);
	return avow__none;
}

avow_promise *avow_once_at(const char *place, avow_emitter *emitter,
			   const avow_once_options *options)
{
	avow_promise *result;
	avow_loop *const loop = avow__loop_or_ending(
		emitter_entry(emitter, options->name, place, "avow_once()"));
	CHECK(loop, place, "avow_once() after the loop was freed");
	struct once *const once = avow__task_open(
		loop, place, "avow_once()", sizeof(*once), once_end, &result);
	if (!once)
		return result;
	const avow_value bad = once_join(once, emitter, options->name);
	if (bad.type) {
		avow__task_settle(&once->task, bad);
		return result;
	}
	return avow__task_abortable(place, result, options->signal);
}

avow_promise *(avow_once)(avow_emitter *emitter, const char *name)
{
	return avow_once_at(NULL, emitter,
			    &(avow_once_options){ .name = name });
}
