/*
 * SPDX-License-Identifier: MIT
 *
 * value.h - what the layers above need of values beyond avow.h: cheap tests,
 * and the insides of the containers (lists, errors, boxes).
 */
#ifndef AVOW_SRC_VALUE_H
#define AVOW_SRC_VALUE_H

#include "debug.h"
#include "node.h"

/*
 * Containers are counted, so that copying one never recurses and never fails.
 * The count is atomic: copies may live in different threads.
 */
struct avow__container {
	size_t uses;
	struct avow__container *next; /* while its drop waits */
	/* Free the container, dropping what it holds. */
	void (*end)(struct avow__container *container);
};

/* The drop of every container type: never recurses, however deep they nest. */
void avow__container_drop(void *ptr);
avow_value avow__container_copy(avow_value value);

struct avow__list {
	struct avow__container head;
	size_t count;
	avow_value items[];
};
/* The head of a list in memory of avow__alloc(), whose items come later. */
void avow__list_init(struct avow__list *list, size_t count);

/* One owner more of the memory of a call; and one less, NULL included. */
struct avow__memory *avow__memory_share(struct avow__memory *memory);
void avow__memory_free(struct avow__memory *memory);

/*
 * A value that has several owners although its type cannot be copied: a promise
 * and the lists that took it from there.  An item of avow__shared_type stands
 * in a list for the value in its box; avow_list_at() opens it.
 */
struct avow__shared {
	struct avow__container head;
	avow_value value;
	struct avow__memory *memory; /* which it may point into, or NULL */
};
extern const avow_type avow__shared_type;
/* A box around `value`, with one owner; NULL when out of memory. */
struct avow__shared *avow__shared_new(avow_value value,
				      struct avow__memory *memory);

static const avow_value avow__none = { { NULL }, NULL };

static inline bool avow__value_is_error(avow_value value)
{
	return value.type && value.type->is_error;
}

static inline void avow__value_drop(avow_value value)
{
	if (value.type && value.type->drop && value.as.ptr) {
		avow__unlend(value); /* the address may come again */
		value.type->drop(value.as.ptr);
	}
}

static inline bool avow__value_same(avow_value a, avow_value b)
{
	return a.type == b.type && a.as.i64 == b.as.i64;
}

/*
 * Is the one use of `source` the only way to what it holds, between two jobs of
 * this depth?  A slot, or a handle got further out, may lead somebody else to
 * it.
 */
static inline bool avow__is_sole(const avow_loop *loop,
				 const avow_promise *source)
{
	const avow_promise *const owner = avow__owner(source);
	return source->uses == 1 && owner->uses == 1 &&
	       !((source->word | owner->word) & (EXTRA | IMMORTAL)) &&
	       avow__depth_of(source) >= loop->depth &&
	       avow__depth_of(owner) >= loop->depth;
}

/* An error around a reason that is none; takes it over. */
avow_value avow__reason(const char *place, avow_value reason);
/* An error of avow_core_domain around any cause, which it takes over. */
AVOW_PRINTF(4, 5)
avow_value avow__error_around(const char *place, int code, avow_value cause,
			      const char *format, ...);
/* A plain code of avow_core_domain. */
avow_value avow__core_error(int code);

#endif
