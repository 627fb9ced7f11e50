/*
 * SPDX-License-Identifier: MIT
 *
 * semaphore.c - permits that are values, whoever waits for one, and functions
 * that run with one.
 *
 * A permit is made before anybody waits for it, so that handing it over cannot
 * fail.  Each has a use of its semaphore.  Nothing here touches the loop unless
 * somebody waits, who cannot outlive it.
 */
#include "line.h"

#include <string.h>

struct avow_semaphore {
	size_t uses; /* the owner, permits, frames on the stack */
	avow_loop *loop;
	size_t count, available;
	struct avow__line waiting; /* empty while some are available */
};

struct permit {
	size_t uses;
	avow_semaphore *semaphore;
};

struct permit_wait {
	struct avow__waiter waiter;
	struct permit *permit; /* what it will get */
};

static void semaphore_unuse(avow_semaphore *semaphore)
{
	if (--semaphore->uses == 0)
		avow__free(semaphore);
}

/* ------------------------------------------------------------------ Permits */

static struct permit *permit_new(avow_semaphore *semaphore)
{
	struct permit *const permit = avow_block_alloc_(sizeof(*permit));
	if (!permit)
		return NULL;
	permit->uses = 1;
	permit->semaphore = semaphore;
	semaphore->uses++;
	return permit;
}

/* One that nobody has. */
static void permit_free(struct permit *permit)
{
	avow_semaphore *const semaphore = permit->semaphore;
	avow_block_free_(permit, sizeof(*permit));
	semaphore_unuse(semaphore);
}

static void permit_give(struct permit_wait *wait)
{
	struct permit *const permit = wait->permit;
	wait->permit = NULL;
	avow__task_settle(&wait->waiter.task,
			  avow_own(permit, &avow_permit_type));
}

/* The first in the line gets what has come back.  A loop that is being freed
 * hands nothing out any more. */
static void permit_drop(void *ptr)
{
	struct permit *const permit = ptr;
	avow_semaphore *const semaphore = permit->semaphore;
	if (--permit->uses > 0)
		return;
	struct avow__waiter *first = semaphore->waiting.first;
	if (first) {
		CHECK(semaphore->loop->thread == avow__self(),
		      first->task.promise->place,
		      "a permit dropped in another thread than the loop's");
		if (avow__is_closing(semaphore->loop))
			first = NULL;
	}
	if (first) {
		avow__line_leave(first);
		permit_give((struct permit_wait *)first);
	} else {
		semaphore->available++;
	}
	permit_free(permit);
}

static avow_value permit_copy(avow_value value)
{
	struct permit *const permit = value.as.ptr;
	permit->uses++;
	return value;
}

const avow_type avow_permit_type = { .name = "permit",
				     .drop = permit_drop,
				     .copy = permit_copy };

static void permit_wait_end(struct avow__task *task, bool is_cancelled)
{
	struct permit_wait *const wait = (struct permit_wait *)task;
	(void)is_cancelled;
	avow__line_leave(&wait->waiter);
	if (wait->permit)
		permit_free(wait->permit);
}

avow_promise *avow_semaphore_acquire_at(const char *place,
					const avow_semaphore_wait *options)
{
	avow_semaphore *const semaphore = options->semaphore;
	avow_promise *result;
	CHECK(semaphore, place, "avow_semaphore_acquire() of a NULL semaphore");
	struct permit_wait *const wait = avow__task_open(
		semaphore->loop, place, "avow_semaphore_acquire()",
		sizeof(*wait), permit_wait_end, &result);
	if (!wait)
		return result;
	if (!semaphore->count) {
		avow__task_settle(&wait->waiter.task,
				  avow_error_at(place, &avow_core_domain,
						AVOW_EINVALID,
						"a semaphore of 0 permits"));
		return result;
	}
	wait->permit = permit_new(semaphore);
	if (!wait->permit) {
		avow__task_settle(&wait->waiter.task, avow_errno(ENOMEM));
		return result;
	}
	avow_promise *const seen =
		avow__task_abortable(place, result, options->signal);
	if (avow__is_settled(seen))
		return seen;
	if (semaphore->available) {
		semaphore->available--;
		permit_give(wait);
	} else {
		avow__line_join(&semaphore->waiting, &wait->waiter);
	}
	return seen;
}

avow_promise *(avow_semaphore_acquire)(avow_semaphore *semaphore)
{
	return avow_semaphore_acquire_at(
		NULL, &(avow_semaphore_wait){ .semaphore = semaphore });
}

/* --------------------------------------------------------------- Semaphores */

avow_semaphore *avow_semaphore_new(avow_loop *loop, size_t count)
{
	avow__loop_entry(loop, "avow_semaphore_new()");
	avow_semaphore *const semaphore = avow__alloc(sizeof(*semaphore));
	if (!semaphore)
		return NULL;
	memset(semaphore, 0, sizeof(*semaphore));
	semaphore->uses = 1;
	semaphore->loop = loop;
	semaphore->count = semaphore->available = count;
	return semaphore;
}

avow_semaphore *avow_mutex_new(avow_loop *loop)
{
	return avow_semaphore_new(loop, 1);
}

void avow_semaphore_free(avow_semaphore *semaphore)
{
	if (!semaphore)
		return;
	avow__line_reject(&semaphore->waiting, avow__core_error(AVOW_ECLOSED));
	semaphore_unuse(semaphore);
}

size_t avow_semaphore_available(const avow_semaphore *semaphore)
{
	CHECK(semaphore, NULL, "avow_semaphore_available(NULL)");
	return semaphore->available;
}

/* ------------------------------------------------------------------- Limits */

/* A copied argument: it ends when the promise has settled, and not when the
 * handler has returned.  So does the permit in it. */
struct limited {
	avow_handler_fn *fn;
	void *arg;
	avow_value permit;
};

static avow_value limit_run(avow_value permit, void *arg)
{
	struct limited *const limited = arg;
	limited->permit = avow_take(permit);
	return limited->fn(avow__none, limited->arg);
}

static void limit_end(void *arg)
{
	const struct limited *const limited = arg;
	avow__value_drop(limited->permit);
}

avow_promise *avow_limit_at(const char *place, avow_semaphore *semaphore,
			    avow_handler_fn *fn, const avow_scope_work *options)
{
	CHECK(semaphore, place, "avow_limit() with a NULL semaphore");
	CHECK(fn, place, "avow_limit() with a NULL function");
	const struct limited limited = { .fn = fn, .arg = options->arg };
	avow_promise *const permit = avow_semaphore_acquire_at(
		place, &(avow_semaphore_wait){ .semaphore = semaphore });
	avow__unseen(permit); /* so that it moves out, and comes back in time */
	avow_promise *const result =
		avow_on_at(place, permit,
			   &(const avow_handlers){ .fulfilled = limit_run,
						   .copy = &limited,
						   .copy_size = sizeof(limited),
						   .drop = limit_end });
	if (result->word & IMMORTAL)
		avow_cancel(permit);
	return avow__task_abortable(place, result, options->signal);
}

avow_promise *(avow_limit)(avow_semaphore *semaphore, avow_handler_fn *fn,
			   void *arg)
{
	return avow_limit_at(NULL, semaphore, fn,
			     &(avow_scope_work){ .arg = arg });
}
