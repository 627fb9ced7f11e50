/*
 * SPDX-License-Identifier: MIT
 *
 * What the library tells: unhandled rejections, calls that never called back,
 * counters.  Quoted by docs/guide.md.
 */
#include <avow.h>
#include <ev.h>
#include <errno.h>
#include <stdio.h>

static int unhandled_count, abandoned_count;

static void on_report(avow_loop *loop, const avow_report *report, void *arg)
{
	FILE *log = arg;
	(void)loop;

	switch (report->kind) {
	case AVOW_REPORT_UNHANDLED:
		unhandled_count++;
		fprintf(log, "nobody handled: %s\n",
			avow_message(report->error));
		break;
	case AVOW_REPORT_ABANDONED:
		abandoned_count++;
		fprintf(log, "never called back: %s\n",
			report->call ? report->call : "a promise");
		break;
	case AVOW_REPORT_MEMORY:
		fprintf(log, "out of memory: the reserve is in use\n");
		break;
	case AVOW_REPORT_LATE:
		fprintf(log, "came too late: %s\n",
			report->call ? report->call : "a call");
		break;
	}
	for (size_t i = 0; i < report->place_count; i++)
		fprintf(log, "    at %s\n", report->place[i]);
}

/* A callback API with a bug: it forgets the callback. */
static int forget(void (*done)(int err, void *ctx), void *ctx)
{
	(void)done, (void)ctx;
	return 0;
}

AVOW_CALLBACK(on_done, AVOW_ERR_IN(int, avow_errno_domain), AVOW_CTX(void *));

static avow_value fail(avow_value none, void *arg)
{
	(void)none, (void)arg;
	return avow_error(EACCES, "user %d is banned", 7);
}

int main(void)
{
	struct ev_loop *ev = EV_DEFAULT;
	avow_loop *loop = avow_loop_new(ev);
	avow_stats stats;
	if (!loop)
		return 1;
	avow_loop_on_report(loop, on_report, stdout);

	/* Rejected, and nothing is attached that would handle it. */
	avow_then(avow_delay(loop, 0.001), fail, NULL);

	avow_promise *p = AVOW_PROMISIFY(loop, forget(on_done, AVOW_CONTEXT));
	avow_catch(p, fail, NULL);

	ev_run(ev, 0);
	avow_loop_stats(loop, &stats);
	printf("still waiting for %zu call\n", stats.call_count);

	avow_loop_free(loop);
	return unhandled_count < 1 || abandoned_count != 1;
}
