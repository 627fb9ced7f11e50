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

/* An error around a reason that is none; takes it over. */
avow_value avow__reason(const char *place, avow_value reason);
/* A plain code of avow_core_domain. */
avow_value avow__core_error(int code);

#endif
