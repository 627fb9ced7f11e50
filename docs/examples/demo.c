/*
 * SPDX-License-Identifier: MIT
 *
 * demo.c - runs the five parts of the demo one after another:
 *
 *     demo [steps]
 *
 * `steps` is how many steps the last part measures; a million unless given.
 */
#include "demo.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>

avow_value demo_failed(avow_value error, void *ok)
{
	fprintf(stderr, "demo: %s\n", avow_message(error));
	*(bool *)ok = false;
	return avow_none();
}

static bool run_parts(avow_loop *loop, size_t step_count)
{
	bool ok = true;

	puts("(a) before, after, inside\n");
	ok &= order_demo(loop);
	puts("\n(b) a callback function, promisified\n");
	ok &= photo_demo(loop);
	puts("\n(c) ten dependent steps, nested and as a chain\n");
	ok &= compare_demo(loop);
	puts("\n(d) a dozen downloads, four at a time\n");
	ok &= many_demo(loop);
	puts("\n(e) what a then costs here\n");
	ok &= cost_demo(loop, step_count);
	return ok;
}

int main(int argc, char **argv)
{
	long step_count = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;

	if (argc > 2 || step_count < 1000) {
		fputs("usage: demo [steps, at least 1000]\n", stderr);
		return EXIT_FAILURE;
	}

	struct ev_loop *ev = ev_default_loop(0);
	avow_loop *loop = ev ? avow_loop_new(ev) : NULL;

	if (!loop) {
		fputs("demo: cannot make a loop\n", stderr);
		return EXIT_FAILURE;
	}

	bool ok = run_parts(loop, (size_t)step_count);

	avow_loop_free(loop);
	ev_loop_destroy(ev);
	puts(ok ? "\ndemo: all as it should be" : "\ndemo: something is wrong");
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
