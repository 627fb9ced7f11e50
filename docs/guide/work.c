/*
 * SPDX-License-Identifier: MIT
 *
 * Work off the loop: a function that takes long runs in a thread of the pool,
 * and the loop goes on.  Quoted by docs/guide.md.
 */
#include <avow.h>
#include <ev.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* What is to be hashed, and how far it has to be before it may end: this
 * program wants to see the clock tick meanwhile, on any machine. */
struct text {
	const char *chars;
	atomic_int ticks;
};

/* Runs in the pool: it may take its time, and block. */
static avow_value hash(void *arg)
{
	struct text *text = arg;
	uint32_t sum;

	do {
		sum = 2166136261u;
		for (const char *c = text->chars; *c; c++)
			sum = (sum ^ (unsigned char)*c) * 16777619u;
	} while (atomic_load(&text->ticks) < 3);
	return avow_int(sum);
}

/* Runs in the loop, as any handler. */
static avow_value print(avow_value sum, void *arg)
{
	(void)arg;
	printf("hash: %08x\n", (unsigned)avow_int_get(sum));
	return avow_none();
}

static void tick(struct ev_loop *ev, ev_timer *timer, int revents)
{
	struct text *text = timer->data;
	(void)revents;
	puts("tick");
	if (atomic_fetch_add(&text->ticks, 1) == 2)
		ev_timer_stop(ev, timer);
}

/* Work that goes on for as long as somebody wants it. */
static avow_value search(void *arg)
{
	(void)arg;
	while (!avow_work_is_cancelled())
		;
	return avow_none();
}

/* Runs in the pool, too, where the promise is gone already. */
static void search_over(void *over)
{
	*(bool *)over = true;
}

static avow_value explain(avow_value error, void *arg)
{
	(void)arg;
	printf("search: %s\n", avow_message(error));
	return avow_none();
}

int main(void)
{
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	struct text text = { "a text that is long", 0 };
	ev_timer timer;
	if (!loop)
		return 1;

	/* The clock ticks on while the pool is at work. */
	ev_timer_init(&timer, tick, 0.001, 0.001);
	timer.data = &text;
	ev_timer_start(ev, &timer);
	avow_then(avow_work(loop, hash, &text), print, NULL);
	ev_run(ev, 0);

	/* What has begun is told that nobody wants it any more. */
	bool over = false;
	avow_promise *p = avow_work(loop, search, &over, .drop = search_over);
	avow_catch(avow_timeout(p, 0.002), explain, NULL);
	ev_run(ev, 0);

	avow_work_end();	/* wait for the threads */
	puts(over ? "search: over" : "search: still at it");
	avow_loop_free(loop);
	return 0;
}
