/*
 * SPDX-License-Identifier: MIT
 *
 * Many at once: all of them, whatever becomes of them, the first that answers,
 * the first that settles, the first two; and stopping those that no longer
 * matter.  Quoted by docs/guide.md.
 */
#include <avow.h>
#include <ev.h>
#include <errno.h>
#include <stdio.h>

struct answer {
	const char *text;
	bool fails;
};

static avow_value give(avow_value value, void *arg)
{
	const struct answer *answer = arg;
	(void)value;
	if (answer->fails)
		return avow_error(EIO, "%s is down", answer->text);
	return avow_str(answer->text);
}

/* A server that answers after some time, or does not. */
static avow_promise *ask(avow_loop *loop, const char *text, double seconds)
{
	return avow_then_copy(avow_delay(loop, seconds), give,
			      &((struct answer){ text, false }));
}

static avow_promise *fail(avow_loop *loop, const char *text, double seconds)
{
	return avow_then_copy(avow_delay(loop, seconds), give,
			      &((struct answer){ text, true }));
}

/* The items of a list, errors included. */
static avow_value show_list(avow_value list, void *name)
{
	printf("%s:", (const char *)name);
	for (size_t i = 0; i < avow_list_count(list); i++)
		printf(" %s", avow_message(avow_list_at(list, i)));
	puts("");
	return avow_none();
}

static avow_value show(avow_value value, void *name)
{
	printf("%s: %s\n", (const char *)name, avow_message(value));
	return avow_none();
}

static avow_value show_errors(avow_value error, void *name)
{
	if (!avow_error_is(error, &avow_core_domain, AVOW_EAGGREGATE))
		return error;
	printf("%s: %s\n", (const char *)name, avow_message(error));
	return show_list(avow_cause(error), "because");
}

static void all_of_them(avow_loop *loop)
{
	avow_promise *both[] = { ask(loop, "left", 0.004),
				 ask(loop, "right", 0.001) };
	avow_then(avow_all(loop, both, 2), show_list, "all");
}

static void whatever_becomes_of_them(avow_loop *loop)
{
	avow_promise *both[] = { ask(loop, "left", 0.004),
				 fail(loop, "right", 0.001) };
	avow_then(avow_all_settled(loop, both, 2), show_list, "settled");
}

static void the_first_answer(avow_loop *loop)
{
	avow_promise *mirrors[] = { fail(loop, "north", 0.001),
				    ask(loop, "south", 0.004),
				    ask(loop, "west", 0.04) };
	avow_promise *p = avow_any(loop, mirrors, 3, .cancel_losers = true);
	avow_then(p, show, "any");
}

static void no_answer(avow_loop *loop)
{
	avow_promise *mirrors[] = { fail(loop, "north", 0.004),
				    fail(loop, "south", 0.001) };
	avow_promise *p = avow_any(loop, mirrors, 2);
	avow_catch(avow_then(p, show, "never"), show_errors, "any");
}

static void the_first_to_settle(avow_loop *loop)
{
	avow_promise *two[] = { ask(loop, "slow", 0.04),
				ask(loop, "quick", 0.001) };
	avow_then(avow_race(loop, two, 2), show, "race");
}

static void the_first_two(avow_loop *loop)
{
	avow_promise *votes[] = { ask(loop, "a", 0.009), ask(loop, "b", 0.05),
				  ask(loop, "c", 0.001) };
	avow_promise *p = avow_some(loop, 2, votes, 3, .cancel_losers = true);
	avow_then(p, show_list, "some");
}

int main(void)
{
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	if (!loop)
		return 1;

	all_of_them(loop);
	ev_run(ev, 0);
	whatever_becomes_of_them(loop);
	ev_run(ev, 0);
	the_first_answer(loop);
	ev_run(ev, 0);
	no_answer(loop);
	ev_run(ev, 0);
	the_first_to_settle(loop);
	ev_run(ev, 0);
	the_first_two(loop);
	ev_run(ev, 0);

	avow_loop_free(loop);
	return 0;
}
