/*
 * SPDX-License-Identifier: MIT
 *
 * avow - promises over callbacks, driven by libev.
 *
 * This header is the whole core: loops, values, errors, promises, chains and
 * promisify.  It needs no other header of avow (avow/callback.h, which it
 * includes, holds the macros that write callbacks) and does not include ev.h.
 * It compiles as C99 and later, and as C++11 and later.
 *
 * In short:
 *
 *   - You attach a loop to your `struct ev_loop *` once (avow_loop_new).
 *   - A function that takes a callback becomes one that returns a promise
 *     (AVOW_CALLBACK, AVOW_PROMISIFY).
 *   - Promises are chained (avow_then, avow_catch, avow_finally).  A handler
 *     returns what comes next: a value, an error, or avow_await(promise).
 *   - You free no promise.  A handle is good until the callback in which you
 *     got it returns, and after that for as long as the promise is pending.
 *     avow_hold() keeps one for longer.
 *
 * Unless a function says otherwise it must be called in its loop's thread, and
 * a NULL, stale or foreign handle is a programming error: it is told in one
 * line on stderr, with the place, and the program aborts.  (A stale handle is
 * known until its memory is used again, and in a library built with AVOW_DEBUG
 * for long after that; handles of a loop that was freed are not known.)
 */
#ifndef AVOW_H
#define AVOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AVOW_VERSION_MAJOR 0
#define AVOW_VERSION_MINOR 3
#define AVOW_VERSION_PATCH 0
#define AVOW_VERSION "0.3.0"

#if defined(__GNUC__) || defined(__clang__)
#define AVOW_API __attribute__((visibility("default")))
#define AVOW_MUST_USE __attribute__((warn_unused_result))
#define AVOW_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define AVOW_MAYBE_UNUSED __attribute__((unused))
#define AVOW_NORETURN __attribute__((noreturn))
#else
#define AVOW_API
#define AVOW_MUST_USE
#define AVOW_PRINTF(text, first)
#define AVOW_MAYBE_UNUSED
#define AVOW_NORETURN
#endif

/* The place of a call, as "file.c:42".  Define it before including avow.h to
 * record something else, or "" to record nothing. */
#ifndef AVOW_HERE
#define AVOW_HERE __FILE__ ":" AVOW_TEXT_(__LINE__)
#endif
#define AVOW_TEXT_(x) AVOW_TEXT__(x)
#define AVOW_TEXT__(x) #x

struct ev_loop;

typedef struct avow_loop avow_loop;
typedef struct avow_promise avow_promise;
typedef struct avow_type avow_type;
typedef struct avow_domain avow_domain;
typedef struct avow_signal avow_signal;	/* avow/abort.h */
typedef struct avow_emitter avow_emitter; /* avow/emitter.h */

/*
 * A value of any type, 16 bytes, passed and returned in two registers (of 64
 * bits; where pointers have 32 it is 12 or 16 bytes, in memory).
 * `type` says what the payload is and who frees it; NULL means "no value".
 */
typedef struct avow_value {
	union {
		void *ptr;
		int64_t i64;
		double f64;
		bool b;
	} as;
	const avow_type *type;
} avow_value;

/*
 * What runs when a promise settles.  `value` is borrowed: it is good until the
 * handler returns; avow_take() moves it out.  What the handler returns is what
 * the promise becomes: a value, an error, or the outcome of another promise
 * (avow_await).  Returning the very value it was given passes it through.
 */
typedef avow_value avow_handler_fn(avow_value value, void *arg);
typedef void avow_job_fn(void *arg);
typedef void avow_drop_fn(void *ptr);


/* ------------------------------------------------------------------ Loops
 *
 * An avow_loop adds promises to a libev loop that the program owns.  It runs
 * handlers as "jobs", first in, first out: all of them as soon as the libev
 * callback that made them possible has returned, before libev calls the next
 * watcher or sleeps.  It keeps ev_run() alive only by work that was started
 * (timers, threaded calls), never by itself, and it leaves ev_userdata() and
 * the invoke-pending callback to the program.
 *
 * A loop and its promises belong to one thread.  Any number of loops may run
 * in any number of threads.
 */

/*
 * Attach a promise loop to `ev`, which may be the default loop or any other.
 *
 * Ownership   `ev` stays the program's; free the avow_loop first.  (Destroying
 *             `ev` first is survived: the avow_loop is then detached.)
 * Returns     the loop, or NULL when out of memory or out of loop numbers
 *             (4095 loops may exist at one time, 15 where pointers have 32
 *             bits).
 * Thread      the calling thread becomes the loop's thread; see
 *             avow_loop_adopt().
 * Since       0.1
 */
AVOW_API AVOW_MUST_USE avow_loop *avow_loop_new(struct ev_loop *ev);

/*
 * End the loop.  What is still pending is rejected with AVOW_EABANDONED, its
 * handlers and drops run, cancel hooks are called, slots become NULL, and the
 * calls that never called back are listed by an AVOW_REPORT_ABANDONED each.
 * While that goes on new promises are born rejected, and handlers that go on
 * making work are cut off after a bound.
 *
 * Called from inside a handler, a hook or a drop of this loop it takes effect
 * when the outermost of them has returned; until then what exists stays usable,
 * new promises are born rejected and avow_post() is refused.
 *
 * NULL does nothing.
 *
 * Ownership   every handle of the loop is invalid afterwards, held or not, and
 *             so is the loop: freeing it twice is not found out.
 *             Contexts of calls stay harmless: settling one is ignored.
 *             Memory of avow_alloc() ends: requests that a library still uses
 *             must be taken back by their cancel hooks.
 * Since       0.1
 */
AVOW_API void avow_loop_free(avow_loop *loop);

/* The loop whose jobs are running in this thread, or NULL outside of them.
 * Since 0.1 */
AVOW_API avow_loop *avow_loop_current(void);
/* The loop a promise belongs to.  Since 0.1 */
AVOW_API avow_loop *avow_loop_of(const avow_promise *p);
/* The libev loop given to avow_loop_new(); NULL once it was destroyed. 0.1 */
AVOW_API struct ev_loop *avow_loop_ev(const avow_loop *loop);

/*
 * Hand the loop to the calling thread, for a program that makes its loops in
 * one thread and runs them in others.  No other thread may be using the loop.
 *
 * Thread      the new one, with no handler of the loop on any stack.
 * Since       0.1
 */
AVOW_API void avow_loop_adopt(avow_loop *loop);

/*
 * Say that no handle got at this depth so far is used any more, so that what
 * is settled can be reaped now.  Needed only by a program that never enters
 * ev_run() and lives by avow_wait() alone, or by one very long callback.
 *
 * Since       0.1
 */
AVOW_API void avow_tidy(avow_loop *loop);

/*
 * Run `fn(arg)` as a job, behind the jobs that are queued already; as
 * queueMicrotask() in browsers.
 *
 * Returns     false when out of memory or when the loop is being freed; `fn`
 *             is then never called.
 * Calls back  `fn` once, from the loop.  When the loop is freed first it still
 *             runs, within the bound of avow_loop_free().
 * Since       0.1
 */
AVOW_API AVOW_MUST_USE bool avow_post(avow_loop *loop, avow_job_fn *fn,
				      void *arg);

/*
 * How long jobs may run in a row before timers and sockets get their turn:
 * `jobs` of them and, checked from the eighth on, `seconds` of time, whichever
 * comes first.  The rest continue in the next iteration of the loop, in the
 * same order.  Default 65536 jobs, 0.001 s.  Zero leaves a bound as it is.
 *
 * Since       0.1
 */
AVOW_API void avow_loop_budget(avow_loop *loop, size_t jobs, double seconds);

/*
 * Keep the order of jobs that ECMAScript prescribes, job for job: off by
 * default.
 *
 * There a promise that follows another takes two jobs more than one that is
 * given a value: one to attach, one to settle.  Here it takes none, which is
 * faster and lets a promise loop run in constant memory; outcomes are the same,
 * and so is the order within every chain, but handlers of chains that have
 * nothing to do with each other may run in another order than in JavaScript.
 * With `is_on` they do not, at the cost of those jobs and of that memory.  For
 * code whose tests compare the order with JavaScript's.
 *
 * Since       0.3
 */
AVOW_API void avow_loop_ecmascript_order(avow_loop *loop, bool is_on);

/* How many avow_wait() may be nested; default 32, at most 48.  Since 0.1 */
AVOW_API void avow_loop_nesting_max(avow_loop *loop, unsigned nesting_max);

/*
 * How much memory emptied by a burst the loop keeps for the next one, in
 * bytes, rounded down to slabs of 64 KiB.  Default 4 MiB.  The rest goes back
 * to the allocator as soon as it is empty.
 *
 * Since       0.1
 */
AVOW_API void avow_loop_spare_max(avow_loop *loop, size_t bytes);

/* Counters of one loop since it was made; see avow_loop_stats(). */
typedef struct avow_stats {
	uint64_t jobs;		 /* jobs run */
	uint64_t ignored;	 /* settled again, or after following */
	uint64_t late;		 /* callbacks that came twice or too late */
	size_t promise_count;	 /* promises, and blocks beside them, in use */
	size_t promise_size;	 /* bytes of one of them */
	size_t slab_bytes;	 /* memory held for promises, spare included */
	size_t call_count;	 /* calls begun whose callback is awaited */
} avow_stats;

/* Fill `out` with the loop's counters.  Linear in the number of slabs.  0.1 */
AVOW_API void avow_loop_stats(const avow_loop *loop, avow_stats *out);

/* What a loop has to tell; see avow_loop_on_report(). */
typedef enum avow_report_kind {
	AVOW_REPORT_UNHANDLED,	/* a rejection nobody handled */
	AVOW_REPORT_ABANDONED,	/* a call that never called back */
	AVOW_REPORT_MEMORY,	/* an allocation failed: the reserve is used */
	AVOW_REPORT_LATE	/* AVOW_DEBUG: a callback came twice or late */
} avow_report_kind;

typedef struct avow_report {
	avow_report_kind kind;
	avow_value error;	/* borrowed; none unless UNHANDLED */
	const char *call;	/* ABANDONED, LATE: the call, as written; NULL
				   where a context was got by avow_context() */
	const char *place[4];	/* where attached or made, newest first */
	size_t place_count;
} avow_report;

typedef void avow_report_fn(avow_loop *loop, const avow_report *report,
			    void *arg);

/*
 * Say who is told.  NULL brings back avow_report_print, the default.  Pass
 * avow_report_abort to end the program at an unhandled rejection.
 *
 * Calls back  `fn` in the loop's thread, from whatever finds out: between two
 *             jobs (UNHANDLED, when the promise is reaped, which is when nobody
 *             can attach any more; MEMORY), in avow_loop_free() (ABANDONED), in
 *             avow_settle() (LATE).  It may use the loop.  The report is good
 *             until `fn` returns.  A cancellation is never reported.
 * Since       0.1
 */
AVOW_API void avow_loop_on_report(avow_loop *loop, avow_report_fn *fn,
				  void *arg);
/* Print the report on stderr.  `arg` is not used.  Since 0.1 */
AVOW_API void avow_report_print(avow_loop *loop, const avow_report *report,
				void *arg);
/* The same, then abort() if it is an unhandled rejection.  Since 0.1 */
AVOW_API void avow_report_abort(avow_loop *loop, const avow_report *report,
				void *arg);

/*
 * Where all memory of the library comes from; by default malloc, and mmap for
 * slabs.  `aligned` gives slabs of 64 KiB aligned to 64 KiB, which go to `free`
 * as well.  Both may return NULL.
 */
typedef struct avow_allocator {
	void *(*alloc)(size_t size);
	void *(*aligned)(size_t alignment, size_t size);
	void (*free)(void *ptr);
} avow_allocator;

/*
 * Replace the allocator for the whole process; NULL brings the default back.
 * Call it before the first loop and the first value are made.
 *
 * Ownership   `allocator` is copied; its functions are called from any thread
 *             that uses the library.
 * Since       0.1
 */
AVOW_API void avow_set_allocator(const avow_allocator *allocator);


/* ----------------------------------------------------------------- Values
 *
 * A value is a payload and a type.  Whoever holds a value owns it and drops it
 * once; a promise owns the value it settled with.  Passing a value to a
 * function that settles, or returning it from a handler, gives it away.  What
 * a function hands you to look at (the argument of a handler, avow_value_of,
 * avow_list_at) is borrowed: to give that away, avow_take() it first.  One
 * thing needs no avow_take(): a handler may return its argument, to pass it on.
 */

/* What the library must know of a kind of values.  All but `name` may be 0. */
struct avow_type {
	const char *name;
	avow_drop_fn *drop;	/* free a payload pointer; never given NULL */
	/* A second owner of the same payload, or an error value.  Not called
	 * for NULL. */
	avow_value (*copy)(avow_value value);
	/*
	 * A thenable, to be waited for: start it, and avow_settle(context, ...)
	 * when it is done.  Called in a job of its own.  Returning an error
	 * rejects at once; anything else returned is dropped.
	 */
	avow_value (*then)(avow_value value, void *context);
	bool is_error;		/* values of this type reject */
	/* Write text for people, NUL-terminated, at most `size` bytes. */
	void (*describe)(avow_value value, char *text, size_t size);
};

/* The types of the values below. */
extern AVOW_API const avow_type avow_bool_type, avow_int_type, avow_double_type,
	avow_str_type, avow_ptr_type, avow_list_type, avow_promise_type,
	avow_error_type;

/* The small ones stand here whole, because every handler has some. */
#define AVOW_SMALL AVOW_MAYBE_UNUSED static inline

/* Not for use: say who read what as what, and abort. */
AVOW_API AVOW_NORETURN void avow_wrong_type_(avow_value value,
					     const avow_type *type);
AVOW_SMALL void avow_expect_(avow_value value, const avow_type *type)
{
	if (value.type != type)
		avow_wrong_type_(value, type);
}

AVOW_MUST_USE AVOW_SMALL avow_value avow_none(void)
{
	avow_value value;
	value.as.i64 = 0;
	value.type = 0;
	return value;
}

AVOW_MUST_USE AVOW_SMALL avow_value avow_int(int64_t i)
{
	avow_value value;
	value.as.i64 = i;
	value.type = &avow_int_type;
	return value;
}

AVOW_MUST_USE AVOW_SMALL avow_value avow_bool(bool b)
{
	avow_value value = avow_none();
	value.as.b = b;
	value.type = &avow_bool_type;
	return value;
}

AVOW_MUST_USE AVOW_SMALL avow_value avow_double(double d)
{
	avow_value value;
	value.as.f64 = d;
	value.type = &avow_double_type;
	return value;
}

/* A pointer that `type->drop` frees.  AVOW_TYPE writes typed forms.  0.1 */
AVOW_MUST_USE AVOW_SMALL avow_value avow_own(void *ptr, const avow_type *type)
{
	avow_value value = avow_none();
	value.as.ptr = ptr;
	value.type = type;
	return value;
}

/* A pointer that stays yours: nobody frees it.  Since 0.1 */
AVOW_MUST_USE AVOW_SMALL avow_value avow_ptr(void *ptr)
{
	return avow_own(ptr, &avow_ptr_type);
}

/* A copy of `text`; NULL gives none.  Out of memory gives an error.  0.1 */
AVOW_API AVOW_MUST_USE avow_value avow_str(const char *text);
/* The same for any bytes: a string value of `size` bytes, and a NUL.  `bytes`
 * may be NULL where `size` is 0.  Since 0.1 */
AVOW_API AVOW_MUST_USE avow_value avow_bytes(const void *bytes, size_t size);
/*
 * A list of `count` values, which it takes over.  Out of memory drops them
 * and gives an error.
 *
 * Since       0.1
 */
AVOW_API AVOW_MUST_USE avow_value avow_list(const avow_value *values,
					    size_t count);
/*
 * "Wait for `p`": what a handler returns, or what a promise is resolved with,
 * to take the outcome of `p`.  Hands `p` over: unless it is held, its handle
 * is good only until this callback returns.
 *
 * Since       0.1
 */
AVOW_API AVOW_MUST_USE avow_value avow_await(avow_promise *p);

/* Is it of this type; is there no value?  Since 0.1 */
AVOW_SMALL bool avow_is(avow_value value, const avow_type *type)
{
	return value.type == type;
}

AVOW_SMALL bool avow_is_none(avow_value value)
{
	return !value.type;
}

/* Read a value; borrowed where it is a pointer.  The wrong type aborts. 0.1 */
AVOW_SMALL void *avow_get(avow_value value, const avow_type *type)
{
	avow_expect_(value, type);
	return value.as.ptr;
}

AVOW_SMALL bool avow_bool_get(avow_value value)
{
	(void)avow_get(value, &avow_bool_type);
	return value.as.b;
}

AVOW_SMALL int64_t avow_int_get(avow_value value)
{
	(void)avow_get(value, &avow_int_type);
	return value.as.i64;
}

AVOW_SMALL double avow_double_get(avow_value value)
{
	(void)avow_get(value, &avow_double_type);
	return value.as.f64;
}

AVOW_SMALL void *avow_ptr_get(avow_value value)
{
	return avow_get(value, &avow_ptr_type);
}

AVOW_SMALL const char *avow_str_get(avow_value value)
{
	return (const char *)avow_get(value, &avow_str_type);
}

AVOW_API size_t avow_str_size(avow_value value);	/* without the NUL */
AVOW_API size_t avow_list_count(avow_value list);
/* Item `index`, borrowed from the list; out of range aborts.  Since 0.1 */
AVOW_API AVOW_MUST_USE avow_value avow_list_at(avow_value list, size_t index);

/*
 * Make a borrowed value yours.  In a handler, its argument is moved out when
 * nobody else can still read it (no other consumer, hold or slot, no handle got
 * further out, no list of avow_all() that it went into, and no memory of
 * avow_alloc() that it may point into), and so is the item last got with
 * avow_list_at() from such an argument; everything else is copied through its
 * type.  A value that needs no drop is given back as it is.  From then on use
 * what this returned, and no longer what it was given.
 *
 * Returns     the value, to be dropped or given away once; an error in the
 *             domain avow_core_domain (AVOW_ENOTCOPYABLE) where the type
 *             cannot be copied.
 * Since       0.1
 */
AVOW_API AVOW_MUST_USE avow_value avow_take(avow_value value);
/* A second owner of the same value, through its type; or an error.  To pass a
 * handler's argument on, return the argument and not a copy of it.  0.1 */
AVOW_API AVOW_MUST_USE avow_value avow_copy(avow_value value);
/* End a value you own.  Since 0.1 */
AVOW_API void avow_drop(avow_value value);

/*
 * AVOW_TYPE(photo, photo *, photo_free) defines, for a payload of at most
 * eight bytes, the type and what belongs to it:
 *
 *     extern const avow_type photo_type;
 *     typedef photo *photo_payload;
 *     avow_value photo_value(photo *x);	owns x
 *     photo *photo_get(avow_value value);	borrows
 *     photo *photo_take(avow_value value);	takes; 0 where it cannot
 *
 * The third argument (a function that frees one) may be left out, and a fourth
 * (a function that gives a second owner: `photo *photo_ref(photo *)`, NULL for
 * out of memory) may follow.  To use a type in several files put
 * AVOW_TYPE_DECLARE(photo, photo *) in a header and AVOW_TYPE in one source.
 *
 * AVOW_STRUCT(place, struct place) does the same for a small struct that
 * travels by value; place_get() gives a pointer to it.  A third argument frees
 * what its members own: void place_clear(struct place *).
 *
 * (avow_take() moves it and never copies it.)
 *
 * AVOW_TYPE_WITH(name, T, drop, copy, then, is_error, describe) writes the
 * members of avow_type out; see avow/callback.h.
 */


/* ----------------------------------------------------------------- Errors
 *
 * An error is a value that rejects.  It has a code, which means something only
 * in its domain, a message, optionally a cause, and the place where it arose.
 * Plain codes need no memory.
 */

/* A family of codes: errno, or a library's own.  See AVOW_DOMAIN. */
struct avow_domain {
	avow_type type;			/* of plain codes; type.name names it */
	const char *(*text)(int code);	/* what a code means */
};

extern AVOW_API const avow_domain avow_errno_domain;
extern AVOW_API const avow_domain avow_core_domain;
/* The code a call failed to start with; see AVOW_PROMISIFY. */
extern AVOW_API const avow_domain avow_start_domain;

/* The codes of avow_core_domain: what the library itself rejects with. */
enum {
	AVOW_ECANCELLED = 1,	/* avow_cancel() */
	AVOW_ETIMEOUT,		/* a deadline passed */
	AVOW_EABANDONED,	/* the loop was freed first */
	AVOW_ECYCLE,		/* a promise would follow itself */
	AVOW_EDEADLOCK,		/* avow_wait(): nothing is left to settle it */
	AVOW_EINTERRUPTED,	/* avow_wait(): ev_break() was called */
	AVOW_ENESTING,		/* avow_wait(): nested too deep */
	AVOW_ENOTCOPYABLE,	/* avow_take(), avow_copy(): no copy in type */
	AVOW_EREASON,		/* rejected with a value that is no error */
	AVOW_EINVALID,		/* a time that is negative or not finite, a limit
				   of nothing, nothing to wait for */
	AVOW_EAGGREGATE,	/* avow_any(), avow_some(): avow_cause() is the
				   list of all errors.  Since 0.2 */
	AVOW_ECLOSED		/* a queue, an emitter or a group that was closed
				   or freed.  Since 0.2 */
};

/*
 * An error in the errno domain with a message of its own.  Out of memory keeps
 * the code and loses the message.
 *
 * Since       0.1
 */
AVOW_API AVOW_MUST_USE AVOW_PRINTF(2, 3) avow_value
	avow_error(int code, const char *format, ...);
AVOW_API AVOW_MUST_USE AVOW_PRINTF(4, 5) avow_value
	avow_error_at(const char *place, const avow_domain *domain, int code,
		      const char *format, ...);
#define avow_error(...) \
	avow_error_at(AVOW_HERE, &avow_errno_domain, __VA_ARGS__)
/* The same in any domain: avow_error_in(&photo_domain, code, "...").  0.1 */
#define avow_error_in(...) avow_error_at(AVOW_HERE, __VA_ARGS__)
/* A plain code; needs no memory.  A negative errno is made positive.  0.1 */
AVOW_API AVOW_MUST_USE avow_value avow_errno(int code);
AVOW_API AVOW_MUST_USE avow_value avow_domain_error(const avow_domain *domain,
						    int code);
/*
 * A new error on top of `cause`, which it takes over; it keeps its code and
 * domain.  A cause that has none, being no error or one of another type, gives
 * AVOW_EREASON of avow_core_domain.  Out of memory keeps the code alone.
 *
 * Since       0.1
 */
AVOW_API AVOW_MUST_USE AVOW_PRINTF(2, 3) avow_value
	avow_wrap(avow_value cause, const char *format, ...);
AVOW_API AVOW_MUST_USE AVOW_PRINTF(3, 4) avow_value
	avow_wrap_at(const char *place, avow_value cause, const char *format,
		     ...);
#define avow_wrap(...) avow_wrap_at(AVOW_HERE, __VA_ARGS__)

AVOW_SMALL bool avow_is_error(avow_value value)
{
	return value.type && value.type->is_error;
}

AVOW_API bool avow_error_is(avow_value error, const avow_domain *domain,
			    int code);
/* The code of an error; 0 where there is none.  Since 0.1 */
AVOW_API int avow_code(avow_value error);
/* The domain of an error's code, or NULL.  Since 0.1 */
AVOW_API const avow_domain *avow_domain_of(avow_value error);
/*
 * Text for people, of any value, error or not; never NULL.  Good until this
 * thread has asked for eight more, or the value is dropped.  Texts of values
 * other than errors and strings are cut at 255 bytes.
 *
 * Since       0.1
 */
AVOW_API const char *avow_message(avow_value value);
/* What the error was wrapped around, borrowed; none where nothing.  0.1 */
AVOW_API AVOW_MUST_USE avow_value avow_cause(avow_value error);
/* Where the error was made ("file.c:42"), or "".  Since 0.1 */
AVOW_API const char *avow_error_place(avow_value error);
AVOW_API bool avow_is_cancelled(avow_value value);
/* Did a deadline pass: avow_timeout(), avow_retry(), avow_signal_timeout(), or
 * one of your own (AVOW_ETIMEOUT)?  Since 0.1 */
AVOW_API bool avow_is_timeout(avow_value value);

/*
 * Carry an error as plain data, which fulfils, and get it back.  Both take
 * over what they are given; avow_unreify() gives any other value back as it
 * is, and so does avow_reify() with one that is no error.  Out of memory gives
 * an error, which rejects.
 *
 * Since       0.1
 */
AVOW_API AVOW_MUST_USE avow_value avow_reify(avow_value error);
AVOW_API AVOW_MUST_USE avow_value avow_unreify(avow_value value);

/* Not for use: the `describe` by which codes of a domain are known. */
AVOW_API void avow_domain_describe(avow_value value, char *text, size_t size);


/* --------------------------------------------------------------- Promises
 *
 * A promise is pending, then fulfilled or rejected, once.  It is fulfilled or
 * rejected by the value it gets: a value of an error type rejects.
 *
 * Lifetime: see the top.  A promise that is attached to in later callbacks
 * needs avow_hold(); an array of promises filled over several callbacks too.
 */

typedef enum avow_state {
	AVOW_PENDING = 0,
	AVOW_FULFILLED = 1,
	AVOW_REJECTED = 2
} avow_state;

/*
 * A promise that you settle, with avow_resolve() or avow_reject().
 *
 * Ownership   it lives until it is settled; hold it to attach to it later
 *             than that.
 * Returns     a promise, never NULL; out of memory gives one that is rejected.
 * Since       0.1
 */
AVOW_API avow_promise *avow_pending(avow_loop *loop);

/*
 * Settle `p`, made by avow_pending() or a call begun with avow_begin().  With
 * avow_await(q), `p` follows `q`, and is settled at once where `q` is (but see
 * avow_loop_ecmascript_order()); following itself, through however many
 * others, rejects it with AVOW_ECYCLE.  With a thenable, `p` waits for it.
 *
 * A second time, and once it follows, the value is dropped and counted
 * (avow_stats.ignored).  A promise that avow_then() or its kin made is settled
 * by its handler: resolving it is a programming error.
 *
 * Ownership   takes `value`.
 * Calls back  nothing before it returns, but the drop of a value that is
 *             ignored and of what was attached to `p`.
 * Since       0.1
 */
AVOW_API void avow_resolve(avow_promise *p, avow_value value);
/* The same; a reason that is no error is wrapped in one (AVOW_EREASON); a
 * promise is a programming error: avow_resolve() follows one.  Since 0.1 */
AVOW_API void avow_reject(avow_promise *p, avow_value reason);

/* A promise that is settled from the start.  They take the value.  Since 0.1 */
AVOW_API avow_promise *avow_resolved(avow_loop *loop, avow_value value);
AVOW_API avow_promise *avow_rejected(avow_loop *loop, avow_value reason);

AVOW_API avow_promise *avow_pending_at(const char *place, avow_loop *loop);
AVOW_API avow_promise *avow_resolved_at(const char *place, avow_loop *loop,
					avow_value value);
AVOW_API avow_promise *avow_rejected_at(const char *place, avow_loop *loop,
					avow_value reason);
#define avow_pending(...) avow_pending_at(AVOW_HERE, __VA_ARGS__)
#define avow_resolved(...) avow_resolved_at(AVOW_HERE, __VA_ARGS__)
#define avow_rejected(...) avow_rejected_at(AVOW_HERE, __VA_ARGS__)

/* Looking handles no rejection.  Since 0.1 */
AVOW_API avow_state avow_state_of(const avow_promise *p);
/* What a settled promise holds, borrowed, and good as long as `p`; a pending
 * one aborts.  Since 0.1 */
AVOW_API AVOW_MUST_USE avow_value avow_value_of(const avow_promise *p);

/*
 * Keep a handle beyond its callback, and give it back.  A held promise counts
 * as wanted: cancelling what is attached to it does not cancel it.
 * avow_release(NULL) does nothing.
 *
 * Since       0.1
 */
AVOW_API void avow_hold(avow_promise *p);
AVOW_API void avow_release(avow_promise *p);

/*
 * Keep a pointer that becomes NULL by itself when the promise is gone: set
 * `*where` to `p`, and to NULL when the promise is reaped.  It keeps nothing
 * alive.  Out of memory sets it to NULL at once.
 *
 * Ownership   `where` must stay valid until then or until avow_unslot(where),
 *             which forgets it and sets it to NULL.  It must not be a slot
 *             already.
 * Since       0.1
 */
AVOW_API void avow_slot(avow_promise *p, avow_promise **where);
AVOW_API void avow_unslot(avow_promise **where);

/*
 * Give up on `p`: if it is pending it is rejected as cancelled, at once, and
 * the work that would have settled it is told (avow_on_cancel).  On the way
 * up, every source that has no other consumer is cancelled as well; consumers
 * are what is attached, what follows, and holds.  Handlers of avow_finally()
 * on the way run, as jobs.  Safe from anywhere, one's own handler included.
 * NULL and settled promises are left alone.
 *
 * Calls back  cancel hooks and drops, before it returns; drops of what was
 *             attached behind an avow_finally() when that has ended.
 * Since       0.1
 */
AVOW_API void avow_cancel(avow_promise *p);

/*
 * Run the loop until `p` settles, and borrow its value.  Inside a handler
 * waits nest: last in, first out.
 *
 * Returns     the value, good as long as `p`; an error of avow_core_domain
 *             when nothing is left that could settle `p` (AVOW_EDEADLOCK), at
 *             ev_break() (AVOW_EINTERRUPTED) and beyond avow_loop_nesting_max
 *             (AVOW_ENESTING), or when the loop is being freed
 *             (AVOW_EABANDONED); `p` itself is then still pending.  Waiting
 *             handles a rejection.
 * Since       0.1
 */
AVOW_API AVOW_MUST_USE avow_value avow_wait(avow_promise *p);


/* ----------------------------------------------------------------- Chains
 *
 * Each attaches to `p` and returns a promise for what comes of it.  Attaching
 * twice branches.  Nothing attached runs before the attaching function has
 * returned, whether `p` was settled or not; handlers run in the order in which
 * they were attached.  A rejection that finds no avow_catch() is reported
 * (avow_loop_on_report).
 *
 * Ownership   none taken: `arg` stays the caller's (avow_on has a `drop`).
 * Returns     a promise, never NULL; out of memory gives one that is rejected.
 * Since       0.1
 */

/* Run `fn` when `p` is fulfilled; a rejection passes by. */
AVOW_API avow_promise *avow_then(avow_promise *p, avow_handler_fn *fn,
				 void *arg);
/* Run `fn` when `p` is rejected; a value passes by. */
AVOW_API avow_promise *avow_catch(avow_promise *p, avow_handler_fn *fn,
				  void *arg);
/*
 * Run `fn` with the outcome either way, and pass that outcome on.  `fn` may
 * return avow_await() to be waited for; what it returns is dropped, but an
 * error takes the outcome's place.  It runs on cancellation too, and work that
 * it waits for is not cancelled with the promise.
 */
AVOW_API avow_promise *avow_finally(avow_promise *p, avow_handler_fn *fn,
				    void *arg);
/* As avow_then, but the value is passed on, and only an error replaces it. */
AVOW_API avow_promise *avow_tap(avow_promise *p, avow_handler_fn *fn,
				void *arg);
/* As avow_catch, but the rejection is passed on. */
AVOW_API avow_promise *avow_tap_catch(avow_promise *p, avow_handler_fn *fn,
				      void *arg);
/* As avow_catch, for one code of one domain; other rejections pass by. */
AVOW_API avow_promise *avow_catch_code(avow_promise *p,
				       const avow_domain *domain, int code,
				       avow_handler_fn *fn, void *arg);
/*
 * Tie a resource to `p`: `drop(ptr)` runs when the promise returned settles,
 * whatever happens, or at once when nothing could be attached.  On cancellation
 * it runs when every avow_finally() and avow_using() that `p` comes from has
 * ended, so these may still use the resource.
 */
AVOW_API avow_promise *avow_attach(avow_promise *p, void *ptr,
				   avow_drop_fn *drop);
/* As `p`, but cancelling it does not cancel `p`. */
AVOW_API avow_promise *avow_shield(avow_promise *p);

/*
 * The long form.  Any of the handlers may be NULL; `finally` excludes the two
 * others.  `drop(arg)` is called exactly once, when the promise returned has
 * settled, or at once when it could not be attached.  With `copy`, the
 * `copy_size` bytes there are copied, the handler gets a pointer to the copy
 * instead of `arg`, and `drop`, if any, gets that pointer before the copy ends.
 */
#if defined(__cplusplus) && __cplusplus >= 202002L
#define AVOW_UNSET_ = 0 /* so that C++20 may leave members out */
#define AVOW_UNSET_VALUE_ = {}
#else
#define AVOW_UNSET_
#define AVOW_UNSET_VALUE_
#endif
typedef struct avow_handlers {
	avow_handler_fn *fulfilled AVOW_UNSET_;
	avow_handler_fn *rejected AVOW_UNSET_;
	avow_handler_fn *finally AVOW_UNSET_;
	void *arg AVOW_UNSET_;
	const void *copy AVOW_UNSET_;
	size_t copy_size AVOW_UNSET_;
	avow_drop_fn *drop AVOW_UNSET_;
} avow_handlers;

AVOW_API avow_promise *avow_then_at(const char *place, avow_promise *p,
				    avow_handler_fn *fn, void *arg);
AVOW_API avow_promise *avow_catch_at(const char *place, avow_promise *p,
				     avow_handler_fn *fn, void *arg);
AVOW_API avow_promise *avow_finally_at(const char *place, avow_promise *p,
				       avow_handler_fn *fn, void *arg);
AVOW_API avow_promise *avow_tap_at(const char *place, avow_promise *p,
				   avow_handler_fn *fn, void *arg);
AVOW_API avow_promise *avow_tap_catch_at(const char *place, avow_promise *p,
					 avow_handler_fn *fn, void *arg);
AVOW_API avow_promise *avow_catch_code_at(const char *place, avow_promise *p,
					  const avow_domain *domain, int code,
					  avow_handler_fn *fn, void *arg);
AVOW_API avow_promise *avow_attach_at(const char *place, avow_promise *p,
				      void *ptr, avow_drop_fn *drop);
AVOW_API avow_promise *avow_shield_at(const char *place, avow_promise *p);
AVOW_API avow_promise *avow_on_at(const char *place, avow_promise *p,
				  const avow_handlers *handlers);
AVOW_API avow_promise *avow_then_copy_at(const char *place, avow_promise *p,
					 avow_handler_fn *fn, const void *copy,
					 size_t copy_size);

/*
 * The forms with _at take the place by hand, for wrappers that pass on their
 * caller's; these take it from the call.
 */
#define avow_then(...) avow_then_at(AVOW_HERE, __VA_ARGS__)
#define avow_catch(...) avow_catch_at(AVOW_HERE, __VA_ARGS__)
#define avow_finally(...) avow_finally_at(AVOW_HERE, __VA_ARGS__)
#define avow_tap(...) avow_tap_at(AVOW_HERE, __VA_ARGS__)
#define avow_tap_catch(...) avow_tap_catch_at(AVOW_HERE, __VA_ARGS__)
#define avow_catch_code(...) avow_catch_code_at(AVOW_HERE, __VA_ARGS__)
#define avow_attach(...) avow_attach_at(AVOW_HERE, __VA_ARGS__)
#define avow_shield(...) avow_shield_at(AVOW_HERE, __VA_ARGS__)

/* avow_then_copy(p, fn, &(struct lookup){ app, id }): `fn` gets a copy. */
#define avow_then_copy(p, fn, ...)                                 \
	avow_then_copy_at(AVOW_HERE, (p), (fn), (__VA_ARGS__),     \
			  sizeof(*(__VA_ARGS__)))

/* avow_on(p, .fulfilled = f, .rejected = g, .arg = a, .drop = d); in C++
 * before C++20: avow_on(p, handlers), with a filled avow_handlers. */
#ifndef __cplusplus
#define avow_on(p, ...) \
	avow_on_at(AVOW_HERE, (p), &(const avow_handlers){ __VA_ARGS__ })
#elif __cplusplus >= 202002L
#define avow_on(p, ...) \
	avow_on_ref_(AVOW_HERE, (p), avow_handlers{ __VA_ARGS__ })
#else
#define avow_on(p, handlers) avow_on_ref_(AVOW_HERE, (p), (handlers))
#endif


/* -------------------------------------------------------------- Promisify
 *
 * A callback API becomes promises in two steps.  The callback's type is
 * described once, its parameters in the order of its prototype:
 *
 *     AVOW_CALLBACK(on_photo, AVOW_ERR(int, photo_strerror),
 *                   AVOW_OWN(photo), AVOW_CTX(void *));
 *
 * and the call is written as it always was, AVOW_CONTEXT in place of the
 * context pointer:
 *
 *     return AVOW_PROMISIFY(loop, download_photo(c, url, on_photo,
 *                                                AVOW_CONTEXT));
 *
 * AVOW_PROMISIFY takes 0 for "started"; _TRUE takes true or non-zero, _ID a
 * number >= 0, _PTR a pointer that is not NULL, _VOID anything.  A call that
 * does not start is a rejection with its code in avow_start_domain.  The roles
 * of parameters stand in avow/callback.h.
 *
 * The context is not a pointer to the promise.  Settling it twice, late, after
 * cancellation, after the loop is gone, or from another thread is harmless.
 */

/* A call that has begun: pass `context` to it, then avow_end(). */
typedef struct avow_call {
	avow_promise *promise;
	void *context;		/* never NULL */
	bool is_open;		/* false when out of memory: do not start it */
} avow_call;

/*
 * Begin a call by hand, where the macros do not fit or GNU extensions are not
 * wanted:
 *
 *     avow_call c = avow_begin(loop, "connect");
 *     int code = c.is_open ? client_connect(client, on_done, c.context) : 0;
 *     return avow_end(c, code == 0, code);
 *
 * `name` is what reports call it; it must outlive the loop (a literal).
 *
 * Since       0.1
 */
AVOW_API AVOW_MUST_USE avow_call avow_begin(avow_loop *loop, const char *name);
AVOW_API AVOW_MUST_USE avow_call avow_begin_at(const char *place,
					       avow_loop *loop,
					       const char *name);
#define avow_begin(...) avow_begin_at(AVOW_HERE, __VA_ARGS__)
/* The promise of the call.  When it did not start it is rejected with `code`
 * in avow_start_domain, unless its callback came all the same.  Since 0.1 */
AVOW_API avow_promise *avow_end(avow_call call, bool started, int code);

/*
 * What a callback does with its context: settle the promise of the call.
 *
 * Ownership   takes `value`; it is dropped, in this thread, when it comes too
 *             late (counted in avow_stats.late).
 * Thread      any.  From another thread than the loop's it wakes the loop;
 *             `value` must then not be avow_await().
 * Since       0.1
 */
AVOW_API void avow_settle(const void *context, avow_value value);

/* The context of a promise of avow_pending() or of a call, to be settled as
 * above, and from any thread: the same each time while `p` is pending, and one
 * that does nothing afterwards.  Never NULL.  Since 0.1 */
AVOW_API void *avow_context(avow_promise *p);

/*
 * Say that the call will be settled by another thread: it then keeps ev_run()
 * alive until it is.  Gives the context back, so that it can stand in a call:
 * avow_threaded(AVOW_CONTEXT).  Does nothing when the call is over.
 *
 * Since       0.1
 */
AVOW_API void *avow_threaded(const void *context);

/*
 * Call `fn(arg)` when the promise of the call is cancelled, or abandoned with
 * its loop, to stop the work.  One for each call; a second replaces it.  `fn`
 * is not called once the call has been settled.  It runs before the drops of
 * what was attached, so that work stops before its argument goes.
 *
 * Since       0.1
 */
AVOW_API void avow_on_cancel(const void *context, avow_job_fn *fn, void *arg);

/*
 * Memory that lives as long as the call may still use it and the promise may
 * still be read: for intrusive requests, option structs and results.  Zeroed.
 * After a cancellation it lives until the callback comes; a cancel hook that
 * knows that no callback will come says so with avow_settle(context,
 * avow_none()), as the last thing it does, for its argument may be there.
 * avow_loop_free() ends it in any case.  Aligned for any type.
 *
 * Returns     NULL when out of memory or when the call is over.
 * Since       0.1
 */
AVOW_API AVOW_MUST_USE void *avow_alloc(const void *context, size_t size);

/*
 * For libraries with no callback, that say which descriptor they wait for
 * (libpq, MariaDB).  `step(events, state)` runs as a job, first with 0 events
 * (an avow_int of the mask below), and returns avow_until(fd, events, seconds)
 * to be called again when that has come, or what the promise shall become.
 *
 * Ownership   `state` stays the caller's, and must outlive the promise.
 * Since       0.1
 */
AVOW_API avow_promise *avow_drive(avow_loop *loop, avow_handler_fn *step,
				  void *state);
AVOW_API avow_promise *avow_drive_at(const char *place, avow_loop *loop,
				     avow_handler_fn *step, void *state);
#define avow_drive(...) avow_drive_at(AVOW_HERE, __VA_ARGS__)

/* Events of descriptors, a mask. */
enum { AVOW_READ = 1, AVOW_WRITE = 2, AVOW_TIMEOUT = 4 };
/*
 * "Call me again": `events` of `fd` (AVOW_READ | AVOW_WRITE, or 0 and any fd
 * for time alone), or AVOW_TIMEOUT after `seconds`; 0 waits for ever.  Rounded
 * up to milliseconds, at most six days.  Nothing to wait for, or a time that is
 * negative or NaN, is an error (AVOW_EINVALID).
 *
 * Since       0.1
 */
AVOW_API AVOW_MUST_USE avow_value avow_until(int fd, int events,
					     double seconds);

/*
 * Hand the outcome of `p` to an error-first callback: `error` is none when `p`
 * was fulfilled.  Both values are borrowed.  AVOW_CALLBACKIFY (avow/callback.h)
 * does it for a callback of any other type.
 *
 * Calls back  `callback` once, from the loop, on cancellation too; at once,
 *             with ENOMEM, when out of memory.
 * Since       0.1
 */
typedef void avow_callback_fn(avow_value error, avow_value value,
			      void *context);
AVOW_API void avow_as_callback(avow_promise *p, avow_callback_fn *callback,
			       void *context);
AVOW_API void avow_as_callback_at(const char *place, avow_promise *p,
				  avow_callback_fn *callback, void *context);
#define avow_as_callback(...) avow_as_callback_at(AVOW_HERE, __VA_ARGS__)


/* ------------------------------------------------------------------- Time
 *
 * Promises for the clock and for descriptors.  Cancelling one stops its
 * watcher.  While pending they keep ev_run() alive.
 *
 * They take no signal: avow_abortable(avow_delay(loop, 5), signal) ends with
 * one (avow/abort.h), and avow_timeout(avow_readable(loop, fd), 5) after a
 * while (avow/time.h).
 */

/* Fulfilled with none after `seconds`; a time that is negative or not finite is
 * rejected (AVOW_EINVALID).  Since 0.1 */
AVOW_API avow_promise *avow_delay(avow_loop *loop, double seconds);
/* Fulfilled with none in the next iteration of the loop.  Since 0.1 */
AVOW_API avow_promise *avow_immediate(avow_loop *loop);
/*
 * Fulfilled with the events that came (avow_int of AVOW_READ or AVOW_WRITE)
 * once `fd` can be read or written.  A bad `fd` is rejected with EBADF.
 *
 * Ownership   `fd` stays the caller's; cancel before closing it.
 * Since       0.1
 */
AVOW_API avow_promise *avow_readable(avow_loop *loop, int fd);
AVOW_API avow_promise *avow_writable(avow_loop *loop, int fd);

AVOW_API AVOW_MUST_USE avow_promise *
avow_delay_at(const char *place, avow_loop *loop, double seconds);
AVOW_API AVOW_MUST_USE avow_promise *avow_immediate_at(const char *place,
						       avow_loop *loop);
/* Both: `events` of `fd`, or AVOW_TIMEOUT when `seconds` have passed first; 0
 * seconds wait for ever.  No events: EINVAL.  Since 0.1 */
AVOW_API AVOW_MUST_USE avow_promise *
avow_ready_at(const char *place, avow_loop *loop, int fd, int events,
	      double seconds);
#define avow_delay(...) avow_delay_at(AVOW_HERE, __VA_ARGS__)
#define avow_immediate(...) avow_immediate_at(AVOW_HERE, __VA_ARGS__)
#define avow_readable(loop, fd) \
	avow_ready_at(AVOW_HERE, (loop), (fd), AVOW_READ, 0)
#define avow_writable(loop, fd) \
	avow_ready_at(AVOW_HERE, (loop), (fd), AVOW_WRITE, 0)

#ifdef __cplusplus
}
#endif

#ifdef __cplusplus
static inline avow_promise *avow_on_ref_(const char *place, avow_promise *p,
					 const avow_handlers &handlers)
{
	return avow_on_at(place, p, &handlers);
}
#endif

/*
 * Not for use: a pointer to options, of which `first` is given by place and the
 * rest by name.  C++ before C++20 has no names here: the first alone, or all of
 * them filled in.
 */
#ifndef __cplusplus
#define AVOW_OPTIONS_(type, first, ...) (&(const type){ .first = __VA_ARGS__ })
#else
#if __cplusplus >= 202002L
#define AVOW_OPTIONS_(type, first, ...) \
	avow_options_(type{ .first = __VA_ARGS__ })
#else
#define AVOW_OPTIONS_(type, first, ...) \
	avow_options_(avow_filled_(&type::first, __VA_ARGS__))
#endif
template <class T> const T *avow_options_(const T &options)
{
	return &options;
}
template <class T> struct avow_same_ {
	typedef T type;
};
template <class T, class M>
T avow_filled_(M T::*first, typename avow_same_<M>::type value)
{
	T options = T();
	options.*first = value;
	return options;
}
template <class T, class M> T avow_filled_(M T::*, const T &options)
{
	return options;
}
#endif

#include "avow/callback.h"

#include "avow/abort.h"
#include "avow/combine.h"
#include "avow/map.h"
#include "avow/scope.h"
#include "avow/time.h"
#include "avow/work.h"
#include "avow/emitter.h"
#include "avow/watch.h"

#endif /* AVOW_H */
