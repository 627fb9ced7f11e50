/*
 * SPDX-License-Identifier: MIT
 *
 * order.c - when does a callback run?  A synchronous one runs inside the call
 * that was given it.  What is attached to a promise never does, even if the
 * promise was settled long before: the line "after" always comes first.
 */
#include "demo.h"

#include <ev.h>
#include <stdio.h>

static void for_each(const char *const *items, size_t count,
		     void (*fn)(const char *item))
{
	for (size_t i = 0; i < count; i++)
		fn(items[i]);
}

static void inside(const char *item)
{
	printf("  inside %s\n", item);
}

static avow_value inside_later(avow_value value, void *arg)
{
	inside(arg);
	return value;
}

static void order_for_each(void)
{
	static const char *const items[] = { "one", "two", "three" };

	puts("forEach, a synchronous callback:");
	puts("  before");
	for_each(items, 3, inside);
	puts("  after");
}

/* Attach to `p` between the lines "before" and "after", and let it happen. */
static void order_promise(avow_promise *p, char *name, bool *ok)
{
	puts("  before");
	p = avow_then(p, inside_later, name);
	avow_catch(p, demo_failed, ok);
	puts("  after");
	ev_run(avow_loop_ev(avow_loop_of(p)), 0);
}

bool order_demo(avow_loop *loop)
{
	static char timeout[] = "the timeout", then[] = "the then";
	bool ok = true;

	order_for_each();
	puts("setTimeout, an asynchronous one:");
	order_promise(avow_delay(loop, 0.01), timeout, &ok);
	puts("a promise that is settled already:");
	order_promise(avow_resolved(loop, avow_none()), then, &ok);
	return ok;
}
