/*
 * SPDX-License-Identifier: MIT
 *
 * value.c - the values of the library's own types, reading and dropping them.
 * Errors stand in error.c.
 */
#include "value.h"

#include "alloc.h"
#include "debug.h"
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------ Containers */

/*
 * Lists may hold lists to any depth.  The drop of a container inside the drop
 * of another only queues it; the outermost works the queue off.
 */
void avow__container_drop(void *ptr)
{
	struct avow__container *container = ptr;
	if (__atomic_sub_fetch(&container->uses, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	container->next = avow__thread.dropping;
	avow__thread.dropping = container;
	if (avow__thread.is_dropping)
		return;
	avow__thread.is_dropping = true;
	while (avow__thread.dropping) {
		container = avow__thread.dropping;
		avow__thread.dropping = container->next;
		container->end(container);
	}
	avow__thread.is_dropping = false;
}

avow_value avow__container_copy(avow_value value)
{
	struct avow__container *container = value.as.ptr;
	__atomic_add_fetch(&container->uses, 1, __ATOMIC_RELAXED);
	return value;
}

/* ----------------------------------------------------------- Shared values */

struct avow__memory *avow__memory_share(struct avow__memory *memory)
{
	__atomic_add_fetch(&memory->uses, 1, __ATOMIC_RELAXED);
	return memory;
}

void avow__memory_free(struct avow__memory *memory)
{
	if (memory &&
	    __atomic_sub_fetch(&memory->uses, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	while (memory) {
		struct avow__memory *next = memory->next;
		avow__free(memory);
		memory = next;
	}
}

static void value_end_shared(struct avow__container *container)
{
	struct avow__shared *shared = (struct avow__shared *)container;
	struct avow__memory *memory = shared->memory;
	avow__value_drop(shared->value);
	avow__free(shared);
	avow__memory_free(memory);
}

const avow_type avow__shared_type = { .name = "shared",
				      .drop = avow__container_drop };

struct avow__shared *avow__shared_new(avow_value value,
				      struct avow__memory *memory)
{
	struct avow__shared *shared = avow__alloc(sizeof(*shared));
	if (!shared)
		return NULL;
	shared->head =
		(struct avow__container){ .uses = 1, .end = value_end_shared };
	shared->value = value;
	shared->memory = memory ? avow__memory_share(memory) : NULL;
	return shared;
}

/* What an item of a list stands for: a box for what is in it, and there may be
 * one in that. */
static avow_value value_opened(avow_value item)
{
	while (item.type == &avow__shared_type) {
		const struct avow__shared *shared = item.as.ptr;
		item = shared->value;
	}
	return item;
}

/* ----------------------------------------------------------------- Types */

static void value_describe_bool(avow_value value, char *text, size_t size)
{
	snprintf(text, size, "%s", value.as.b ? "true" : "false");
}

static void value_describe_int(avow_value value, char *text, size_t size)
{
	snprintf(text, size, "%" PRId64, value.as.i64);
}

static void value_describe_double(avow_value value, char *text, size_t size)
{
	snprintf(text, size, "%g", value.as.f64);
}

static void value_describe_list(avow_value value, char *text, size_t size)
{
	snprintf(text, size, "a list of %zu", avow_list_count(value));
}

/* A string is preceded by its size, and followed by a NUL. */
struct value_text {
	size_t size;
	char text[];
};

static struct value_text *value_text_of(void *ptr)
{
	return (struct value_text *)(void *)((char *)ptr -
					     offsetof(struct value_text, text));
}

static void value_drop_str(void *ptr)
{
	avow__free(value_text_of(ptr));
}

static avow_value value_copy_str(avow_value value)
{
	return avow_bytes(value.as.ptr, value_text_of(value.as.ptr)->size);
}

static void value_describe_str(avow_value value, char *text, size_t size)
{
	snprintf(text, size, "%s", (const char *)value.as.ptr);
}

const avow_type avow_bool_type = { .name = "bool",
				   .describe = value_describe_bool };
const avow_type avow_int_type = { .name = "int",
				  .describe = value_describe_int };
const avow_type avow_double_type = { .name = "double",
				     .describe = value_describe_double };
const avow_type avow_ptr_type = { .name = "pointer" };
/* Never called: promises are followed.  That there is one lets a single test
 * tell values from what is to be waited for. */
static avow_value value_then_promise(avow_value value, void *context)
{
	(void)context;
	return value;
}

const avow_type avow_promise_type = { .name = "promise",
				      .then = value_then_promise };
const avow_type avow_str_type = { .name = "string",
				  .drop = value_drop_str,
				  .copy = value_copy_str,
				  .describe = value_describe_str };
const avow_type avow_list_type = { .name = "list",
				   .drop = avow__container_drop,
				   .copy = avow__container_copy,
				   .describe = value_describe_list };

/* ---------------------------------------------------------- Constructors */

avow_value avow_bytes(const void *bytes, size_t size)
{
	struct value_text *copy = NULL;
	if (size < SIZE_MAX - sizeof(*copy) - 1)
		copy = avow__alloc(sizeof(*copy) + size + 1);
	if (!copy)
		return avow_errno(ENOMEM);
	copy->size = size;
	if (size)
		memcpy(copy->text, bytes, size);
	copy->text[size] = '\0';
	return avow_own(copy->text, &avow_str_type);
}

avow_value avow_str(const char *text)
{
	return text ? avow_bytes(text, strlen(text)) : avow__none;
}

static void value_end_list(struct avow__container *container)
{
	struct avow__list *list = (struct avow__list *)container;
	for (size_t i = 0; i < list->count; i++)
		avow__value_drop(list->items[i]);
	avow__free(list);
}

void avow__list_init(struct avow__list *list, size_t count)
{
	list->head =
		(struct avow__container){ .uses = 1, .end = value_end_list };
	list->count = count;
}

avow_value avow_list(const avow_value *values, size_t count)
{
	struct avow__list *list = NULL;
	if (count < (SIZE_MAX - sizeof(*list)) / sizeof(*values))
		list = avow__alloc(sizeof(*list) + count * sizeof(*values));
	if (!list) {
		for (size_t i = 0; i < count; i++)
			avow__value_drop(values[i]);
		return avow_errno(ENOMEM);
	}
	avow__list_init(list, count);
	for (size_t i = 0; i < count; i++)
		avow__given_check(values[i]);
	if (count)
		memcpy(list->items, values, count * sizeof(*values));
	return avow_own(list, &avow_list_type);
}

/* --------------------------------------------------------------- Reading */

static const char *value_type_name(const avow_type *type)
{
	return type ? type->name : "none";
}

void avow_wrong_type_(avow_value value, const avow_type *type)
{
	/* The place of the handler that reads, where there is one. */
	const avow_loop *loop = avow__thread.current;
	const avow_promise *p = loop ? loop->running : NULL;
	avow__misuse(NULL, "a value of type %s read as %s%s%s",
		     value_type_name(value.type), value_type_name(type),
		     p && p->place ? " by the handler attached at " : "",
		     p && p->place ? p->place : "");
}

size_t avow_str_size(avow_value value)
{
	return value_text_of(avow_get(value, &avow_str_type))->size;
}

size_t avow_list_count(avow_value list)
{
	const struct avow__list *items = avow_get(list, &avow_list_type);
	return items->count;
}

avow_value avow_list_at(avow_value list, size_t index)
{
	const struct avow__list *items = avow_get(list, &avow_list_type);
	CHECK(index < items->count, NULL, "item %zu of a list of %zu", index,
	      items->count);
	/* avow_take() finds the item by this. */
	avow__thread.listed = items;
	avow__thread.listed_index = index;
	const avow_value value = value_opened(items->items[index]);
	avow__lend(value);
	return value;
}

/* ------------------------------------------------------ Copy, take, drop */

void avow_drop(avow_value value)
{
	avow__given_check(value);
	avow__value_drop(value);
}

avow_value avow_copy(avow_value value)
{
	avow__unlend(value);
	if (!value.type || !value.type->drop || !value.as.ptr)
		return value;
	if (!value.type->copy)
		return avow_error_at(NULL, &avow_core_domain, AVOW_ENOTCOPYABLE,
				     "a value of type %s cannot be copied",
				     value.type->name);
	return value.type->copy(value);
}

/* The promise whose value only the running handler can still read, or NULL. */
static avow_promise *value_sole_source(const avow_loop *loop)
{
	const avow_promise *p = loop ? loop->running : NULL;
	/* What a finally or a tap was given is passed on after it. */
	if (!p || p->word & KEEP || !avow__is_sole(loop, p->source))
		return NULL;
	return avow__owner(p->source);
}

/*
 * A copy for the running handler.  Counted types copy to the same payload: if
 * that is what the handler was given, a note says that returning it gives the
 * copy away, and does not pass the original on.
 */
static avow_value value_take_copy(const avow_loop *loop, avow_value value)
{
	avow_promise *p = loop ? loop->running : NULL;
	const avow_value copy = avow_copy(value);
	if (p && avow__value_same(copy, value) &&
	    avow__value_same(value, avow__owner(p->source)->value))
		p->word |= TOOK;
	return copy;
}

/* The item of a list that nobody else has: is it `value`, and ours alone?  (A
 * box in a box is one that keeps memory.) */
static bool value_take_item(avow_value *item, avow_value value)
{
	struct avow__shared *shared = NULL;
	if (item->type == &avow__shared_type) {
		shared = item->as.ptr;
		if (shared->memory || /* it may not outlive that */
		    __atomic_load_n(&shared->head.uses, __ATOMIC_ACQUIRE) != 1)
			return false;
	}
	if (!avow__value_same(value, value_opened(*item)))
		return false;
	*item = avow__none;
	if (shared)
		avow__free(shared);
	return true;
}

avow_value avow_take(avow_value value)
{
	avow_loop *const loop = avow__thread.current;
	if (!value.type || !value.type->drop || !value.as.ptr)
		return value;
	avow__unlend(value);
	avow_promise *owner = value_sole_source(loop);
	if (!owner)
		return value_take_copy(loop, value);
	if (avow__value_same(value, owner->value)) {
		owner->value = avow__none;
		return value;
	}
	struct avow__list *list = owner->value.type == &avow_list_type
					  ? owner->value.as.ptr
					  : NULL;
	const size_t index = avow__thread.listed_index;
	if (list && avow__thread.listed == list && index < list->count &&
	    __atomic_load_n(&list->head.uses, __ATOMIC_ACQUIRE) == 1 &&
	    value_take_item(&list->items[index], value))
		return value;
	return avow_copy(value);
}
