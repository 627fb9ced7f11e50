/*
 * SPDX-License-Identifier: MIT
 *
 * Three dependent steps of a callback API, nested and as a chain, and what
 * becomes of their errors.  Quoted by docs/guide.md.
 */
#include <avow.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The callback API: gives n + 1 a moment later, refuses to go beyond 10. */
typedef void added_fn(int err, int sum, void *ctx);

struct adding {
	int n;
	added_fn *done;
	void *ctx;
};

static void adding_done(int revents, void *arg)
{
	struct adding *a = arg;
	(void)revents;
	a->done(a->n >= 10 ? ERANGE : 0, a->n + 1, a->ctx);
	free(a);
}

static int add_one(struct ev_loop *ev, int n, added_fn *done, void *ctx)
{
	struct adding *a = malloc(sizeof(*a));
	if (!a)
		return ENOMEM;
	*a = (struct adding){ n, done, ctx };
	ev_once(ev, -1, 0, 0.001, adding_done, a);
	return 0;
}

/* Nested: every level carries the error, and the context, by hand. */
static void third(int err, int sum, void *ctx)
{
	(void)ctx;
	if (err)
		fprintf(stderr, "failed: %s\n", strerror(err));
	else
		printf("nested: %d\n", sum);
}

static void second(int err, int sum, void *ctx)
{
	if (!err)
		err = add_one(ctx, sum, third, ctx);
	if (err)
		third(err, 0, ctx);
}

static void first(int err, int sum, void *ctx)
{
	if (!err)
		err = add_one(ctx, sum, second, ctx);
	if (err)
		third(err, 0, ctx);
}

/* Flat: the callback is described once, the call written once. */
AVOW_CALLBACK(on_added, AVOW_ERR_IN(int, avow_errno_domain), AVOW_NUM(int),
	      AVOW_CTX(void *));

static avow_promise *add(avow_loop *loop, int64_t n)
{
	return AVOW_PROMISIFY(loop, add_one(avow_loop_ev(loop), (int)n,
					    on_added, AVOW_CONTEXT));
}

static avow_value add_more(avow_value sum, void *loop)
{
	return avow_await(add(loop, avow_int_get(sum)));
}

static avow_value print(avow_value sum, void *label)
{
	printf("%s: %d\n", (const char *)label, (int)avow_int_get(sum));
	return avow_none();
}

static avow_value explain(avow_value error, void *label)
{
	printf("%s failed: %s\n", (const char *)label, avow_message(error));
	if (!avow_is_none(avow_cause(error)))
		printf("  because: %s\n", avow_message(avow_cause(error)));
	return avow_none();
}

/* An error of one code becomes a value; all others pass by. */
static avow_value at_most_ten(avow_value error, void *arg)
{
	(void)error, (void)arg;
	return avow_int(10);
}

/* Context is added on the way up; code and domain stay what they were. */
static avow_value say_what(avow_value error, void *what)
{
	return avow_wrap(avow_take(error), "%s", (const char *)what);
}

int main(void)
{
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	avow_promise *p;
	if (!loop)
		return 1;

	if (add_one(ev, 1, first, ev))
		return 1;
	ev_run(ev, 0);

	p = add(loop, 1);
	p = avow_then(p, add_more, loop);
	p = avow_then(p, add_more, loop);
	p = avow_then(p, print, "flat");
	avow_catch(p, explain, "flat");
	ev_run(ev, 0);

	p = add(loop, 8);
	p = avow_then(p, add_more, loop);
	p = avow_then(p, add_more, loop);
	p = avow_catch_code(p, &avow_errno_domain, ERANGE, at_most_ten, NULL);
	p = avow_then(p, print, "bounded");
	avow_catch(p, explain, "bounded");
	ev_run(ev, 0);

	p = add(loop, 10);
	p = avow_catch(p, say_what, "adding to ten");
	p = avow_then(p, print, "skipped");
	avow_catch(p, explain, "sum");
	ev_run(ev, 0);

	avow_loop_free(loop);
	return 0;
}
