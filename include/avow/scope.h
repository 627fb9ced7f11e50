/*
 * SPDX-License-Identifier: MIT
 *
 * avow/scope.h - scopes: groups, resources, and how much happens at a time.
 *
 * Included by avow.h; include that.
 *
 *   - A group holds any number of promises that run beside each other, and is
 *     joined when they have ended (avow_group).
 *   - Resources are acquired, used and released, whatever happens (avow_using).
 *   - A semaphore, and a mutex, bound how many do something at a time
 *     (avow_limit); a rate bounds how many in a time (avow_rate); a queue
 *     bounds how far a producer is ahead of its consumer (avow_queue).
 *
 * Whoever waits for one of these waits in a line: first in, first out, and
 * cancelling leaves the line in constant time.  Options, all of which may be
 * left out, follow the last argument: avow_queue_pop(queue, .signal = s).  In
 * C++ before C++20 they are a filled struct in place of the last argument.
 *
 * Objects belong to the caller.  They may be freed before or after their loop,
 * and from anywhere; freeing one rejects who waits for it (AVOW_ECLOSED), and
 * freeing NULL does nothing.  Promises are never NULL: out of memory gives one
 * that is rejected.
 */
#ifndef AVOW_SCOPE_H
#define AVOW_SCOPE_H

#include "../avow.h"

#ifdef __cplusplus
extern "C" {
#endif


/* ----------------------------------------------------------------- Groups
 *
 * As TaskSet of KJ and TaskGroup of Python.  What is added runs on; whoever
 * joins the group is told when no member is left: when one fails the others are
 * cancelled, and when all have ended the joins are rejected.  (A cancelled
 * promise has ended at once.  What it left to clean up goes on behind that.)
 *
 *     avow_group *group = avow_group_new(loop);
 *     avow_group_add(group, serve(listener, group));	adds more, for each
 *     p = avow_group_join(group);			connection
 *
 * A member costs memory until it has settled, so a group may live as long as a
 * server.  A member that somebody else cancelled has ended, and has not failed.
 */
typedef struct avow_group avow_group;

/* What may follow `loop`: avow_group_new(loop, .keep_going = true). */
typedef struct avow_group_options {
	avow_loop *loop AVOW_UNSET_;
	/* The first failure cancels nobody: each member comes to its own end,
	 * and more may be added.  A join is then rejected with that failure
	 * once all have ended. */
	bool keep_going AVOW_UNSET_;
} avow_group_options;

/* What may follow `group` in avow_group_join(). */
typedef struct avow_group_wait {
	avow_group *group AVOW_UNSET_;
	avow_signal *signal AVOW_UNSET_; /* cancels the join; avow/abort.h */
} avow_group_wait;

/*
 * A group with no members.
 *
 * Ownership   the caller's, until avow_group_free().
 * Returns     NULL when out of memory, or when the loop is being freed.
 * Since       0.2
 */
AVOW_API AVOW_MUST_USE avow_group *avow_group_new(avow_loop *loop);
/*
 * Cancel what is running, and give the group back.  A failure that no join was
 * told of is reported as unhandled (avow_loop_on_report).
 *
 * Calls back  cancel hooks and drops of the members.
 * Since       0.2
 */
AVOW_API void avow_group_free(avow_group *group);

/*
 * Make `p` a member, at any time, also while the group is joined: it lives
 * until it has settled, and the group handles its rejection.  What it is
 * fulfilled with is not looked at.
 *
 * A group that has failed, or was cancelled, takes no more members: `p` is
 * cancelled at once.  So it is when out of memory, which fails the group.
 *
 * Ownership   none taken; others may wait for `p` as well, but when the group
 *             cancels it, it is cancelled for all of them (avow_shield).
 * Returns     whether `p` is a member now.
 * Since       0.2
 */
AVOW_API bool avow_group_add(avow_group *group, avow_promise *p);

/*
 * Fulfilled with none once no member is left, which may be now.  Rejected, once
 * none is left, with the first failure, or as cancelled after
 * avow_group_cancel(); and so is every join after that.
 *
 * Any number may join.  When the last join that waits is cancelled, so is the
 * group.
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_group_join(avow_group *group);
/*
 * Cancel all members, in the order in which they were added, before this
 * returns; inside a cancel hook, before the cancellation that it belongs to
 * returns.  The group takes no more.
 *
 * Calls back  cancel hooks and drops.  They may use the group, and free it.
 * Since       0.2
 */
AVOW_API void avow_group_cancel(avow_group *group);
/* How many members are running.  Since 0.2 */
AVOW_API size_t avow_group_count(const avow_group *group);

AVOW_API AVOW_MUST_USE avow_group *
avow_group_new_at(const char *place, const avow_group_options *options);
AVOW_API bool avow_group_add_at(const char *place, avow_group *group,
				avow_promise *p);
AVOW_API avow_promise *avow_group_join_at(const char *place,
					  const avow_group_wait *options);


/* -------------------------------------------------------------- Resources
 *
 * Acquire, use, release: a connection of a pool and then a transaction on it,
 * a directory and then a file in it.
 *
 *     const avow_resource needed[] = {
 *             { pool_connect, pool_return, pool },
 *             { begin, commit_or_roll_back, app },
 *     };
 *     p = avow_using(loop, needed, 2, transfer, order);
 *
 * The handlers are called in a row, each with the value of the one before it:
 * `acquire` of the first resource with none, that of the second with the first
 * resource, and `use` with the last.  (So a `use` reads the same for one
 * resource as for several; what it needs of the others, the last has or `arg`
 * points to.)  When what `use` gave has settled, each resource is released,
 * the last one first, and the next one once that has settled.
 *
 * It is released as well when a later acquire fails, when the promise is
 * cancelled, and when the loop is freed.  A release runs to its end: nobody can
 * cancel it.
 */
typedef struct avow_resource {
	avow_handler_fn *acquire;
	avow_handler_fn *release; /* NULL: the value's drop will do */
	void *arg;		  /* of both */
} avow_resource;

/* What may follow `fn` and `use`: an `arg`, and then by name. */
typedef struct avow_scope_work {
	void *arg AVOW_UNSET_;
	avow_signal *signal AVOW_UNSET_; /* aborts it; see avow/abort.h */
} avow_scope_work;

/*
 * Settled as what `use` gives, once all that was acquired has been released.
 *
 * Rejected with the error of an acquire, and `use` is then not called.  An
 * error of a release takes the place of a value; where there is an error
 * already, or nobody left who waits, it is reported as unhandled
 * (avow_loop_on_report).
 *
 * Cancelling cancels the acquire that is pending, or the use; the promise is
 * rejected at once, and the releases follow.  What has been acquired by then is
 * released, also when nobody has heard of it yet.  (What a cancelled `use` has
 * to clean up by avow_finally(), or by an avow_using() of its own, goes on
 * beside the releases: put what depends on each other into one list.)
 *
 * Values are borrowed by `acquire` and `use`.  A `release` may avow_take() its
 * own.
 *
 * Ownership   the array is read before this returns.
 * Returns     a promise, never NULL; NULL for resources with a count is
 *             rejected (AVOW_EINVALID).  Without resources `use` gets none.
 * Calls back  all of them from the loop, `release` once for each acquire that
 *             was fulfilled; in avow_loop_free() within its bound.
 * Since       0.2
 */
AVOW_API avow_promise *avow_using(avow_loop *loop,
				  const avow_resource *resources, size_t count,
				  avow_handler_fn *use, void *arg);
AVOW_API avow_promise *avow_using_at(const char *place, avow_loop *loop,
				     const avow_resource *resources,
				     size_t count, avow_handler_fn *use,
				     const avow_scope_work *options);


/* ---------------------------------------------- Semaphores, mutexes, limits
 *
 * A semaphore has so many permits; whoever wants one and finds none waits.  A
 * permit is a value: dropping it gives it back.  So it cannot be lost, whatever
 * becomes of the promise that holds it, and a handler keeps one beyond its end
 * by avow_take(), and gives it back by avow_drop().
 *
 * Most programs want avow_limit(), which does all of that:
 *
 *     avow_semaphore *two = avow_semaphore_new(loop, 2);
 *     for (size_t i = 0; i < count; i++)
 *             avow_group_add(group, avow_limit(two, fetch, urls[i]));
 *
 * A mutex is a semaphore with one permit.
 */
typedef struct avow_semaphore avow_semaphore;

/* What may follow `semaphore` in avow_semaphore_acquire(). */
typedef struct avow_semaphore_wait {
	avow_semaphore *semaphore AVOW_UNSET_;
	avow_signal *signal AVOW_UNSET_;
} avow_semaphore_wait;

/*
 * A semaphore of `count` permits.  There may be none of them: whoever wants one
 * is then told so by a rejection (AVOW_EINVALID) and does not wait for ever.
 *
 * Ownership   the caller's, until avow_semaphore_free().
 * Returns     NULL when out of memory.
 * Since       0.2
 */
AVOW_API AVOW_MUST_USE avow_semaphore *avow_semaphore_new(avow_loop *loop,
							  size_t count);
/* A semaphore of one permit.  Since 0.2 */
AVOW_API AVOW_MUST_USE avow_semaphore *avow_mutex_new(avow_loop *loop);
/* Permits that are out may be dropped later.  Since 0.2 */
AVOW_API void avow_semaphore_free(avow_semaphore *semaphore);

/*
 * Fulfilled with a permit, of avow_permit_type, as soon as there is one.
 *
 * A permit that is copied (avow_copy, or avow_take() of one that somebody else
 * reads) is still one permit, given back when the last copy is dropped.  It is
 * dropped in the loop's thread.
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_semaphore_acquire(avow_semaphore *semaphore);
extern AVOW_API const avow_type avow_permit_type;
/* How many permits nobody has.  Since 0.2 */
AVOW_API size_t avow_semaphore_available(const avow_semaphore *semaphore);

/*
 * Call `fn` with none, once there is a permit, and give that back as soon as
 * what `fn` returned has settled, which is what the promise becomes.
 *
 * Cancelling it before that leaves the line, and `fn` is never called;
 * cancelling it later cancels what `fn` returned, and gives the permit back when
 * the handlers of avow_finally() and the releases in there have ended.
 *
 * Calls back  `fn` at most once, from the loop.
 * Since       0.2
 */
AVOW_API avow_promise *avow_limit(avow_semaphore *semaphore,
				  avow_handler_fn *fn, void *arg);

AVOW_API avow_promise *
avow_semaphore_acquire_at(const char *place,
			  const avow_semaphore_wait *options);
AVOW_API avow_promise *avow_limit_at(const char *place,
				     avow_semaphore *semaphore,
				     avow_handler_fn *fn,
				     const avow_scope_work *options);


/* ----------------------------------------------------------------- Queues
 *
 * A bounded queue: a producer that is ahead by `capacity` values waits for its
 * consumer (back-pressure), and a consumer waits for values.  Any number of
 * both.  Without capacity each push waits for its pop (a rendezvous).
 */
typedef struct avow_queue avow_queue;

/* What may follow `queue` in avow_queue_push(): a value, and then by name. */
typedef struct avow_queue_item {
	avow_value value; /* always given */
	avow_signal *signal AVOW_UNSET_;
} avow_queue_item;

/* What may follow `queue` in avow_queue_pop(). */
typedef struct avow_queue_wait {
	avow_queue *queue AVOW_UNSET_;
	avow_signal *signal AVOW_UNSET_;
} avow_queue_wait;

/*
 * An empty queue for up to `capacity` values.  Memory is used for as many as it
 * has held, so SIZE_MAX makes one without a bound.
 *
 * Ownership   the caller's, until avow_queue_free().
 * Returns     NULL when out of memory.
 * Since       0.2
 */
AVOW_API AVOW_MUST_USE avow_queue *avow_queue_new(avow_loop *loop,
						  size_t capacity);
/* Close it, drop what is in it, and give it back.  Since 0.2 */
AVOW_API void avow_queue_free(avow_queue *queue);

/*
 * Fulfilled with none once `value` is in the queue, or with whoever pops it.
 * Cancelled before that, it never enters.  Rejected with AVOW_ECLOSED when the
 * queue is closed first.  An error rejects the promise and does not enter
 * (avow_reify() makes a plain value of it); a promise is a programming error.
 *
 * Ownership   takes `value`; it is dropped where it does not enter.
 * Since       0.2
 */
AVOW_API avow_promise *avow_queue_push(avow_queue *queue, avow_value value);
/*
 * Fulfilled with the oldest value.  Rejected with AVOW_ECLOSED when the queue
 * is closed and empty.
 *
 * Cancelled before that, it takes no value: the next one to wait gets it.  Once
 * it is fulfilled the value is the promise's, and is dropped with it if nobody
 * reads it.
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_queue_pop(avow_queue *queue);
/* Take no more: pushes that wait and that come are rejected, pops get what is
 * in it.  A second time does nothing.  Since 0.2 */
AVOW_API void avow_queue_close(avow_queue *queue);
/* How many values are in it; those of pushes that wait are not.  Since 0.2 */
AVOW_API size_t avow_queue_count(const avow_queue *queue);

AVOW_API avow_promise *avow_queue_push_at(const char *place, avow_queue *queue,
					  const avow_queue_item *item);
AVOW_API avow_promise *avow_queue_pop_at(const char *place,
					 const avow_queue_wait *options);


/* ------------------------------------------------------------------ Rates
 *
 * So many in a time: a token bucket.  It holds `count` tokens, full at first,
 * and gets one back every `seconds / count`; so `count` may come at once after
 * a rest, and then they come evenly.
 */
typedef struct avow_rate avow_rate;

/* What may follow `rate` in avow_rate_acquire(). */
typedef struct avow_rate_wait {
	avow_rate *rate AVOW_UNSET_;
	avow_signal *signal AVOW_UNSET_;
} avow_rate_wait;

/*
 * `count` in `seconds`.
 *
 * Ownership   the caller's, until avow_rate_free().
 * Returns     NULL when out of memory.
 * Since       0.2
 */
AVOW_API AVOW_MUST_USE avow_rate *avow_rate_new(avow_loop *loop, size_t count,
						double seconds);
AVOW_API void avow_rate_free(avow_rate *rate);
/*
 * Fulfilled with none when it is its turn, which may be now.  There is one
 * timer, and only while somebody waits; that keeps ev_run() alive.  A count of
 * 0, and seconds that are not finite or not above 0, are rejected here
 * (AVOW_EINVALID).
 *
 * Since       0.2
 */
AVOW_API avow_promise *avow_rate_acquire(avow_rate *rate);

AVOW_API avow_promise *avow_rate_acquire_at(const char *place,
					    const avow_rate_wait *options);

#ifdef __cplusplus
}
#endif

#define avow_group_new(...)                                                  \
	avow_group_new_at(AVOW_HERE, AVOW_OPTIONS_(avow_group_options, loop, \
						   __VA_ARGS__))
#define avow_group_add(...) avow_group_add_at(AVOW_HERE, __VA_ARGS__)
#define avow_group_join(...)          \
	avow_group_join_at(AVOW_HERE, \
			   AVOW_OPTIONS_(avow_group_wait, group, __VA_ARGS__))
#define avow_using(loop, resources, count, use, ...)                  \
	avow_using_at(AVOW_HERE, (loop), (resources), (count), (use), \
		      AVOW_OPTIONS_(avow_scope_work, arg, __VA_ARGS__))
#define avow_semaphore_acquire(...)                                  \
	avow_semaphore_acquire_at(AVOW_HERE,                         \
				  AVOW_OPTIONS_(avow_semaphore_wait, \
						semaphore, __VA_ARGS__))
#define avow_limit(semaphore, fn, ...)              \
	avow_limit_at(AVOW_HERE, (semaphore), (fn), \
		      AVOW_OPTIONS_(avow_scope_work, arg, __VA_ARGS__))
#define avow_queue_push(queue, ...)            \
	avow_queue_push_at(AVOW_HERE, (queue), \
			   AVOW_OPTIONS_(avow_queue_item, value, __VA_ARGS__))
#define avow_queue_pop(...)          \
	avow_queue_pop_at(AVOW_HERE, \
			  AVOW_OPTIONS_(avow_queue_wait, queue, __VA_ARGS__))
#define avow_rate_acquire(...)          \
	avow_rate_acquire_at(AVOW_HERE, \
			     AVOW_OPTIONS_(avow_rate_wait, rate, __VA_ARGS__))

#endif /* AVOW_SCOPE_H */
