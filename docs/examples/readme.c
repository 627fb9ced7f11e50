/*
 * SPDX-License-Identifier: MIT
 *
 * readme.c - the program on the first page of the README.
 */
#include <avow.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <string.h>

/* Somebody else's function: it calls back, error first. */
static int find_age(const char *name, void (*cb)(int err, int age, void *ctx),
		    void *ctx)
{
	cb(strcmp(name, "Ada") == 0 ? 0 : ENOENT, 36, ctx);
	return 0;
}

/* The parameters of its callback, in the order of the prototype. */
AVOW_CALLBACK(on_age, AVOW_ERR_IN(int, avow_errno_domain), AVOW_NUM(int),
	      AVOW_CTX(void *));

static avow_value show(avow_value age, void *out)
{
	fprintf(out, "Ada is %d\n", (int)avow_int_get(age));
	return avow_none();
}

static avow_value explain(avow_value error, void *out)
{
	fprintf(out, "no age: %s\n", avow_message(error));
	return avow_none();
}

int main(void)
{
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	avow_promise *p =
		AVOW_PROMISIFY(loop, find_age("Ada", on_age, AVOW_CONTEXT));

	p = avow_then(p, show, stdout);
	avow_catch(p, explain, stderr);
	puts("asked");
	ev_run(ev, 0);
	avow_loop_free(loop);
}
