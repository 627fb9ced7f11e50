/*
 * SPDX-License-Identifier: MIT
 *
 * When callbacks run: a plain C callback runs inside the call it was given
 * to, a handler runs after the function that attached it has returned, and
 * handlers run before timers.  Quoted by docs/guide.md.
 */
#include <avow.h>
#include <ev.h>
#include <stdio.h>

static void each(const int *list, size_t count, void (*fn)(int))
{
	for (size_t i = 0; i < count; i++)
		fn(list[i]);
}

static void show(int i)
{
	printf("inside %d\n", i);
}

static avow_value inside(avow_value value, void *arg)
{
	(void)arg;
	printf("inside %d\n", (int)avow_int_get(value));
	return avow_none();
}

static void tick(int revents, void *arg)
{
	(void)revents, (void)arg;
	puts("timer");
}

int main(void)
{
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	if (!loop)
		return 1;

	/* Synchronous: before, inside, after. */
	puts("before");
	each((const int[]){ 1, 2 }, 2, show);
	puts("after");

	/* Asynchronous: before, after, inside. */
	puts("before");
	avow_promise *p = avow_resolved(loop, avow_int(3));
	avow_then(p, inside, NULL);
	puts("after");

	/* The timer is due at once, and still comes behind the handler. */
	ev_once(ev, -1, 0, 0., tick, NULL);
	ev_run(ev, 0);

	avow_loop_free(loop);
	return 0;
}
