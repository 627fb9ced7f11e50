/*
 * SPDX-License-Identifier: MIT
 *
 * A small user of every macro that writes code, compiled (not run) by
 * headers.sh in each C and C++ from C99 and C++11 on: a header that compiles
 * alone says nothing about what its macros expand to.
 */
#include <avow.h>

#include <stdlib.h>

typedef struct photo {
	int size;
} photo;

struct place {
	double x, y;
};

void photo_free(photo *p);
photo *photo_ref(photo *p);
void place_clear(struct place *p);
const char *photo_strerror(int code);
int photo_load(const char *url, void (*done)(int, photo *, void *), void *ctx);
bool photo_ask(void (*done)(const void *, int, double, const char *, size_t),
	       const void *ctx);
int photo_id(void (*done)(int, photo *, void *), void *ctx);
void *photo_open(void (*done)(int, photo *, void *), void *ctx);
void photo_go(void (*done)(int, photo *, void *), void *ctx);
avow_promise *use(avow_loop *loop);
avow_promise *use_many(avow_loop *loop, avow_promise *const *list,
		       size_t count);
void scopes(avow_loop *loop, avow_signal *signal);
avow_value keep(avow_value value, void *arg);
avow_value add(avow_value sum, avow_value item, void *arg);
avow_promise *use_map(avow_loop *loop, avow_signal *signal);
void hear(avow_value value, void *arg);
avow_promise *use_events(avow_loop *loop, avow_signal *signal);

AVOW_TYPE_DECLARE(plain, void *);
AVOW_TYPE(plain, void *);
AVOW_TYPE(owned, photo *, photo_free);
AVOW_TYPE(shared, photo *, photo_free, photo_ref);
AVOW_STRUCT_DECLARE(point, struct place);
AVOW_STRUCT(point, struct place);
AVOW_STRUCT(place, struct place, place_clear);
AVOW_DOMAIN_DECLARE(pictures);
AVOW_DOMAIN(pictures, photo_strerror);

AVOW_CALLBACK(on_photo, AVOW_ERR(int, photo_strerror), AVOW_OWN(owned),
	      AVOW_CTX(void *));
AVOW_CALLBACK(on_answer, AVOW_CTX(const void *),
	      AVOW_ERR_IN(int, pictures_domain), AVOW_NUM(double),
	      AVOW_BYTES(const char *, size_t));
AVOW_CALLBACK(on_nothing, AVOW_NEGERR(long, photo_strerror), AVOW_SKIP(char),
	      AVOW_CTX(void *));
AVOW_CALLBACK(on_copy, AVOW_CTX(void *), AVOW_COPY(shared, void *),
	      AVOW_NEGERR_IN(int, pictures_domain), AVOW_OWN(owned, void *));
AVOW_CALLBACKIFY(photo_done, AVOW_ERR(int, photo_strerror), AVOW_OWN(owned),
		 AVOW_CTX(void *));

avow_value keep(avow_value value, void *arg)
{
	(void)arg;
	return value;
}

static void consume(int code, photo *p, void *ctx)
{
	(void)code, (void)p, (void)ctx;
}

avow_value work(void *arg);

avow_value work(void *arg)
{
	(void)arg;
	return avow_none();
}

static avow_promise *use_time_and_work(avow_loop *loop)
{
	avow_promise *p = avow_timeout(avow_pending(loop), .5);
	p = avow_retry(loop, keep, loop);
	p = avow_work(loop, work, loop);
#if !defined(__cplusplus) || __cplusplus >= 202002L
	p = avow_retry(loop, keep, loop, .attempts = 3, .first = .1,
		       .when = keep);
	p = avow_work(loop, work, loop, .drop = free);
#else
	avow_retry_options retry = avow_retry_options();
	retry.attempts = 3;
	p = avow_retry(loop, keep, retry);
	avow_work_options options = avow_work_options();
	options.drop = free;
	p = avow_work(loop, work, options);
#endif
	return p;
}

avow_promise *use(avow_loop *loop)
{
	struct place at = { 1, 2 };
	avow_promise *p =
		AVOW_PROMISIFY(loop, photo_load("a,b", on_photo, AVOW_CONTEXT));
	avow_promise *q =
		AVOW_PROMISIFY_TRUE(loop, photo_ask(on_answer, AVOW_CONTEXT));
	p = avow_then(p, keep, loop);
	p = avow_catch(p, keep, NULL);
	p = avow_finally(p, keep, NULL);
	p = avow_tap(p, keep, NULL);
	p = avow_tap_catch(p, keep, NULL);
	p = avow_catch_code(p, &pictures_domain, 3, keep, NULL);
	p = avow_attach(p, NULL, free);
	p = avow_shield(p);
	p = avow_then_copy(p, keep, &at);
#ifndef __cplusplus
	p = avow_then_copy(p, keep, &(struct place){ 1, 2 });
	p = avow_on(p, .fulfilled = keep, .arg = loop, .drop = free);
#elif __cplusplus >= 202002L
	p = avow_on(p, .fulfilled = keep, .arg = loop, .drop = free);
#else
	avow_handlers handlers = avow_handlers();
	handlers.fulfilled = keep;
	p = avow_on(p, handlers);
#endif
	photo_done(use_time_and_work(loop), consume, NULL);
	photo_done(p, consume, NULL);
	q = AVOW_PROMISIFY_ID(loop, photo_id(on_photo, AVOW_CONTEXT));
	avow_resolve(avow_pending(loop), avow_await(q));
	q = AVOW_PROMISIFY_PTR(loop, photo_open(on_photo, AVOW_CONTEXT));
	avow_reject(avow_pending(loop), avow_error(5, "%s", "five"));
	(void)AVOW_PROMISIFY_VOID(loop, photo_go(on_photo, AVOW_CONTEXT));
	return q;
}

avow_value add(avow_value sum, avow_value item, void *arg)
{
	(void)item, (void)arg;
	return sum;
}

avow_promise *use_map(avow_loop *loop, avow_signal *signal)
{
	(void)avow_map(loop, 3, keep, NULL);
	(void)avow_filter(loop, 3, keep, loop);
	(void)avow_each(loop, 3, keep, NULL);
	(void)avow_reduce(loop, 3, add, NULL);
	(void)avow_repeat(loop, keep, loop);
	avow_value value = avow_done(avow_int(1));
	(void)avow_is_done(value);
#if !defined(__cplusplus) || __cplusplus >= 202002L
	(void)avow_map(loop, 3, keep, loop, .limit = 2, .collect = true);
	(void)avow_filter(loop, AVOW_UNTIL_DONE, keep, loop, .limit = 2,
			  .pull = keep, .from = loop, .unordered = true);
	(void)avow_each(loop, AVOW_UNTIL_DONE, keep, NULL, .pull = keep);
	(void)avow_reduce(loop, 3, add, NULL, .initial = value);
	return avow_repeat(loop, keep, NULL, .initial = avow_int(1),
			   .signal = signal);
#else
	avow_walk walk = avow_walk();
	walk.limit = 2;
	walk.signal = signal;
	(void)avow_map(loop, 3, keep, walk);
	(void)avow_filter(loop, 3, keep, walk);
	(void)avow_each(loop, 3, keep, walk);
	walk.initial = value;
	(void)avow_reduce(loop, 3, add, walk);
	return avow_repeat(loop, keep, walk);
#endif
}

/* Options by name where the language has that, and filled in where not. */
avow_promise *use_many(avow_loop *loop, avow_promise *const *list, size_t count)
{
	avow_abort *stop = avow_abort_new(loop);
	avow_signal *signal = avow_abort_signal(stop);
	avow_promise *p = avow_all(loop, list, count);
	p = avow_all_settled(loop, list, 1);
	p = avow_any(loop, &p, 1);
	p = avow_race(loop, list, count + 1);
	p = avow_some(loop, 1, list, count);
#if !defined(__cplusplus) || __cplusplus >= 202002L
	p = avow_all(loop, list, count, .signal = signal);
	p = avow_all_settled(loop, list, count, .signal = signal);
	p = avow_any(loop, list, count, .cancel_losers = true);
	p = avow_race(loop, &p, 1, .cancel_losers = true, .signal = signal);
	p = avow_some(loop, 2, list, count, .cancel_losers = true);
#else
	avow_join join = avow_join();
	join.count = count;
	join.cancel_losers = true;
	join.signal = signal;
	p = avow_all(loop, list, join);
	p = avow_all_settled(loop, list, join);
	p = avow_any(loop, list, join);
	p = avow_race(loop, list, join);
	p = avow_some(loop, 2, list, join);
#endif
	p = avow_abortable(p, signal);
	avow_catch(avow_signal_promise(loop, signal), keep, NULL);
	avow_abort_with(stop, avow_none());
	avow_abort_free(stop);
	return p;
}

void scopes(avow_loop *loop, avow_signal *signal)
{
	const avow_resource both[] = { { keep, keep, loop }, { keep, 0, 0 } };
	avow_group *group = avow_group_new(loop);
	avow_semaphore *two = avow_semaphore_new(loop, 2);
	avow_queue *queue = avow_queue_new(loop, 8);
	avow_rate *rate = avow_rate_new(loop, 10, 1.);
	avow_group_add(group, avow_limit(two, keep, loop));
	avow_group_add(group, avow_using(loop, both, 2, keep, NULL));
	avow_group_add(group, avow_semaphore_acquire(two));
	avow_group_add(group, avow_queue_push(queue, avow_int(3)));
	avow_group_add(group, avow_queue_pop(queue));
	avow_group_add(group, avow_rate_acquire(rate));
	avow_group_add(group, avow_group_join(group));
#if !defined(__cplusplus) || __cplusplus >= 202002L
	avow_group *other = avow_group_new(loop, .keep_going = true);
	avow_limit(two, keep, loop, .signal = signal);
	avow_using(loop, both, 2, keep, NULL, .signal = signal);
	avow_semaphore_acquire(two, .signal = signal);
	avow_queue_push(queue, avow_int(3), .signal = signal);
	avow_queue_pop(queue, .signal = signal);
	avow_rate_acquire(rate, .signal = signal);
	avow_group_join(other, .signal = signal);
#else
	avow_group_options options = { loop, true };
	avow_scope_work work = { loop, signal };
	avow_queue_item item = { avow_int(3), signal };
	avow_group *other = avow_group_new(options);
	avow_limit(two, keep, work);
	avow_queue_push(queue, item);
#endif
	avow_group_free(other);
}

avow_promise *use_events(avow_loop *loop, avow_signal *signal)
{
	avow_emitter *list[] = {
		avow_emitter_new(loop),
		avow_interval(loop, 1),
		avow_watch_periodic(loop, 0, 1),
		avow_watch_io(loop, 0, AVOW_READ),
		avow_watch_signal(loop, 1),
		avow_watch_child(loop, 0),
		avow_watch_stat(loop, "/", 0),
		avow_watch_fork(loop),
		avow_watch_async(loop),
	};
	avow_emitter *e = list[0];
	avow_events *events = avow_events_new(e, "data");
	avow_emitter_on(e, "data", hear, loop);
	avow_emitter_on(e, "data", hear, NULL);
	avow_emitter_once(e, "data", hear, loop);
	avow_once(e, "data");
	avow_events_next(events);
	avow_at(loop, 1);
	avow_at(loop, 1.5);
	avow_signalled(loop, 1);
	avow_exited(loop, 1);
	avow_changed(loop, "/");
	avow_forked(loop);
#if !defined(__cplusplus) || __cplusplus >= 202002L
	avow_emitter_on(e, "data", hear, loop, .once = true, .signal = signal);
	avow_once(e, "data", .signal = signal);
	avow_events_free(
		avow_events_new(e, "data", .limit = 4, .full = AVOW_FAIL));
	avow_changed(loop, "/", .interval = 1, .signal = signal);
#else
	avow_listener listener = avow_listener();
	listener.signal = signal;
	avow_emitter_on(e, "data", hear, listener);
	avow_once_options once = avow_once_options();
	once.name = "data";
	avow_once(e, once);
#endif
	avow_emitter_emit(e, "data", avow_int(1));
	return avow_at(loop, 0);
}
