/*
 * SPDX-License-Identifier: MIT
 *
 * map.c - a function run for many items, some at a time: map, filter, each.
 *
 * Each item in work is a lap: the promise of what the function gives, a
 * reaction of a promise that holds the item, and an input that waits for it.
 * Laps are nodes in a list, so memory follows the limit.  With a source the
 * next item is waited for first, one at a time, and only while there is room.
 */
#include "task.h"

#include <string.h>

enum map_kind { MAP, FILTER, EACH };

#define MAP_LIMIT 16	  /* where the program gives none */
#define MAP_ROOM_FIRST 16 /* of a list that grows */

struct map_lap {
	uint32_t word; /* RAW: it stands in a node */
	struct map *map;
	struct map_lap *next, *back;
	avow_promise *input;
	avow_promise *item; /* FILTER with a source: used */
	size_t index;
};

typedef char map_lap_fits[sizeof(struct map_lap) <= NODE_SIZE ? 1 : -1];

struct map {
	struct avow__task task;
	enum map_kind kind;
	avow_handler_fn *fn, *pull;
	void *arg, *from;
	struct map_lap *laps; /* at work, any order */
	size_t running;	      /* laps */
	avow_promise *pulled; /* the input that waits for the next item */
	size_t limit, count;
	size_t next;		 /* index of the next item */
	struct avow__list *list; /* of results; not for EACH */
	size_t room;		 /* for so many items */
	bool is_ordered, collects, is_dry;
};

static const char *map_place(const struct map *map)
{
	return map->task.promise->place;
}

/* ---------------------------------------------------------------- Results */

/* Room for one item more; false when out of memory. */
static bool map_make_room(struct map *map)
{
	struct avow__list *const list = map->list;
	const size_t used = list ? list->count : 0;
	size_t room = map->room ? map->room * 2 : MAP_ROOM_FIRST;
	if (used < map->room)
		return true;
	/* A known number is asked for at once: memory that is not written to
	 * costs nothing.  Where items are pulled it is a bound. */
	if (room > map->count || !(map->pull || map->count == AVOW_UNTIL_DONE))
		room = map->count;
	struct avow__list *const more =
		room < SIZE_MAX / sizeof(avow_value) / 2
			? avow__alloc(sizeof(*more) + room * sizeof(avow_value))
			: NULL;
	if (!more)
		return false;
	avow__list_init(more, used);
	if (used)
		memcpy(more->items, list->items, used * sizeof(avow_value));
	if (list)
		avow__free(list);
	map->list = more;
	map->room = room;
	return true;
}

/* A place in the list for the item that begins, where order asks for one. */
static bool map_reserve(struct map *map)
{
	if (map->kind == EACH || !map->is_ordered)
		return true;
	if (!map_make_room(map))
		return false;
	map->list->items[map->list->count++] = avow__none;
	return true;
}

/* A filter leaves holes where nothing passed; a marker tells them from items
 * that are none. */
static const avow_type map_hole_type = { .name = "hole" };

static void map_close_holes(struct avow__list *list)
{
	size_t kept = 0;
	for (size_t i = 0; i < list->count; i++) {
		const avow_value item = list->items[i];
		if (item.type == &map_hole_type)
			continue;
		list->items[i] = avow__none;
		list->items[kept++] = item;
	}
	list->count = kept;
}

static void map_finish(struct map *map)
{
	struct avow__list *const list = map->list;
	avow_value value;
	if (map->kind == EACH) {
		value = avow_int((int64_t)map->next);
	} else if (!list) {
		value = avow_list(NULL, 0);
	} else {
		if (map->kind == FILTER && map->is_ordered)
			map_close_holes(list);
		value = avow_own(list, &avow_list_type);
		map->list = NULL;
	}
	avow__task_settle(&map->task, value);
}

/* What came of one lap; false when out of memory. */
static bool map_store(struct map *map, size_t index, avow_value value)
{
	if (map->is_ordered) {
		map->list->items[index] = value;
		return true;
	}
	if (!map_make_room(map))
		return false;
	map->list->items[map->list->count++] = value;
	return true;
}

/* ------------------------------------------------------------------- Laps */

static void lap_open(struct map *map, struct map_lap *lap)
{
	lap->next = map->laps;
	lap->back = NULL;
	if (map->laps)
		map->laps->back = lap;
	map->laps = lap;
	map->running++;
}

/* Off the list; its input and its item are the caller's. */
static void lap_close(avow_loop *loop, struct map *map, struct map_lap *lap)
{
	if (lap->next)
		lap->next->back = lap->back;
	if (lap->back)
		lap->back->next = lap->next;
	else
		map->laps = lap->next;
	map->running--;
	avow__raw_free(loop, lap);
}

static void map_fill(struct map *map);

static bool map_passes(const struct map *map, const avow_promise *input)
{
	const avow_value value = avow__input_value(input);
	CHECK(value.type == &avow_bool_type, map_place(map),
	      "the function of avow_filter() gave %s, not a bool",
	      value.type ? value.type->name : "none");
	return value.as.b;
}

/* The item of a filter that let it pass. */
static avow_value map_passed(avow_loop *loop, struct map_lap *lap)
{
	return lap->item ? avow__use_take(loop, lap->item)
			 : avow_int((int64_t)lap->index);
}

/*
 * Keep the result of the lap that has ended, where there is one.  False when
 * out of memory: what could not be kept is then in `*rest`.
 */
static bool map_keep(avow_loop *loop, struct map *map, struct map_lap *lap,
		     avow_promise *input, avow_value *rest)
{
	const bool passes = map->kind == FILTER && map_passes(map, input);
	avow_value value = { { NULL }, &map_hole_type };
	if (map->kind == EACH)
		return true;
	if (map->kind == MAP)
		value = avow__input_take(loop, input);
	else if (passes)
		value = map_passed(loop, lap);
	else if (!map->is_ordered)
		return true;
	/* Out of memory for a value that others can read too. */
	const bool is_lost = avow__value_is_error(value) &&
			     !(input->source->word & AVOW_REJECTED);
	if (!is_lost && map_store(map, lap->index, value))
		return true;
	*rest = value;
	return false;
}

/* The program's code, in drops, runs at the end of these: it may end the map. */
static void map_on_result(void *node)
{
	avow_promise *const input = node;
	struct map_lap *const lap = input->arg;
	struct map *const map = lap->map;
	avow_loop *const loop = avow__slab_of(input)->loop;
	avow_promise *const item = lap->item;
	avow_value rest = avow__none;
	if (input->source->word & AVOW_REJECTED && !map->collects) {
		lap_close(loop, map, lap);
		avow__task_settle_as(&map->task, input);
	} else {
		const bool is_kept = map_keep(loop, map, lap, input, &rest);
		lap_close(loop, map, lap);
		if (is_kept)
			map_fill(map);
		else
			avow__task_settle(&map->task, avow_errno(ENOMEM));
		avow__input_end(loop, input);
	}
	if (item)
		avow__unuse(loop, item);
	avow__value_drop(rest);
}

/* Begin the lap of an item that `source` holds; false when out of memory. */
static bool map_begin(avow_loop *loop, struct map *map, avow_promise *source,
		      size_t index)
{
	const char *const place = map_place(map);
	struct map_lap *const lap = avow__node_alloc(loop);
	if (!lap)
		return false;
	*lap = (struct map_lap){ .word = RAW, .map = map, .index = index };
	lap->input = avow__input_own(
		loop, place, avow_then_at(place, source, map->fn, map->arg),
		map_on_result, lap);
	if (!lap->input) {
		avow__raw_free(loop, lap);
		return false;
	}
	if (map->kind == FILTER && map->pull) {
		source->uses++;
		lap->item = source;
	}
	lap_open(map, lap);
	return true;
}

/* ------------------------------------------------------------------ Items */

static void map_on_item(void *node)
{
	avow_promise *const input = node;
	struct map *const map = input->arg;
	avow_loop *const loop = avow__slab_of(input)->loop;
	map->pulled = NULL;
	if (input->source->word & AVOW_REJECTED) {
		avow__task_settle_as(&map->task, input);
		return;
	}
	map->is_dry = avow_is_done(avow__input_value(input));
	const bool is_begun = map->is_dry ||
			      (map_reserve(map) &&
			       map_begin(loop, map, input->source, map->next));
	map->next += !map->is_dry;
	if (is_begun)
		map_fill(map);
	else
		avow__task_settle(&map->task, avow_errno(ENOMEM));
	avow__input_end(loop, input);
}

/* Ask for the next item; false when out of memory. */
static bool map_pull(avow_loop *loop, struct map *map)
{
	const char *const place = map_place(map);
	avow_promise *const p = avow_then_at(
		place,
		avow_resolved_at(place, loop, avow_int((int64_t)map->next)),
		map->pull, map->from);
	map->pulled = avow__input_own(loop, place, p, map_on_item, map);
	return map->pulled;
}

static bool map_begin_index(avow_loop *loop, struct map *map)
{
	const size_t index = map->next++;
	avow_promise *const source = avow_resolved_at(map_place(map), loop,
						      avow_int((int64_t)index));
	return map_reserve(map) && map_begin(loop, map, source, index);
}

/* Begin what there is room for, or settle.  The map may be gone after it. */
static void map_fill(struct map *map)
{
	avow_loop *const loop = avow__task_loop(&map->task);
	while (map->running < map->limit && map->next < map->count &&
	       !map->pulled && !map->is_dry) {
		if (map->pull ? map_pull(loop, map)
			      : map_begin_index(loop, map))
			continue;
		avow__task_settle(&map->task, avow_errno(ENOMEM));
		return;
	}
	if (!map->running && !map->pulled)
		map_finish(map);
}

/* All leave their rings before the program's code may run. */
static void map_end(struct avow__task *task, bool is_cancelled)
{
	struct map *const map = (struct map *)task;
	avow_loop *const loop = avow__task_loop(task);
	struct map_lap *lap;
	(void)is_cancelled; /* nobody else can know of the laps */
	for (lap = map->laps; lap; lap = lap->next)
		avow__input_unlink(loop, lap->input);
	if (map->pulled) {
		avow__input_unlink(loop, map->pulled);
		avow__input_own_end(loop, map->pulled);
	}
	while (map->laps) {
		lap = map->laps;
		avow_promise *const input = lap->input, *const item = lap->item;
		lap_close(loop, map, lap);
		avow__input_own_end(loop, input);
		if (item)
			avow__unuse_in_call(loop, item);
	}
	if (map->list)
		avow__container_drop(map->list);
}

static avow_promise *map_open(const char *place, avow_loop *loop,
			      const char *call, enum map_kind kind,
			      size_t count, avow_handler_fn *fn,
			      const avow_walk *walk)
{
	avow_promise *result;
	CHECK(fn, place, "%s with a NULL function", call);
	CHECK(!walk->initial.type, place, "%s has no .initial", call);
	struct map *const map = avow__task_open(loop, place, call, sizeof(*map),
						map_end, &result);
	if (!map)
		return result;
	if (walk->limit < 0) {
		avow__task_settle(&map->task,
				  avow_error_at(place, &avow_core_domain,
						AVOW_EINVALID,
						"%s with a limit of %td", call,
						walk->limit));
		return result;
	}
	map->kind = kind;
	map->fn = fn;
	map->arg = walk->arg;
	map->pull = walk->pull;
	map->from = walk->from;
	map->count = count;
	map->limit = walk->limit ? (size_t)walk->limit : MAP_LIMIT;
	map->is_ordered = !walk->unordered;
	map->collects = walk->collect && kind == MAP;
	map_fill(map);
	return avow__task_abortable(place, result, walk->signal);
}

avow_promise *avow_map_at(const char *place, avow_loop *loop, size_t count,
			  avow_handler_fn *fn, const avow_walk *walk)
{
	return map_open(place, loop, "avow_map()", MAP, count, fn, walk);
}

avow_promise *avow_filter_at(const char *place, avow_loop *loop, size_t count,
			     avow_handler_fn *fn, const avow_walk *walk)
{
	return map_open(place, loop, "avow_filter()", FILTER, count, fn, walk);
}

avow_promise *avow_each_at(const char *place, avow_loop *loop, size_t count,
			   avow_handler_fn *fn, const avow_walk *walk)
{
	return map_open(place, loop, "avow_each()", EACH, count, fn, walk);
}

avow_promise *(avow_map)(avow_loop *loop, size_t count, avow_handler_fn *fn,
			 void *arg)
{
	return avow_map_at(NULL, loop, count, fn, &(avow_walk){ .arg = arg });
}

avow_promise *(avow_filter)(avow_loop *loop, size_t count, avow_handler_fn *fn,
			    void *arg)
{
	return avow_filter_at(NULL, loop, count, fn,
			      &(avow_walk){ .arg = arg });
}

avow_promise *(avow_each)(avow_loop *loop, size_t count, avow_handler_fn *fn,
			  void *arg)
{
	return avow_each_at(NULL, loop, count, fn, &(avow_walk){ .arg = arg });
}
