/*
 * SPDX-License-Identifier: MIT
 *
 * report.c - what the library says aloud: one line and abort() for misuse,
 * and the default form of the reports that go to a loop's hook.
 */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void avow__misuse(const char *place, const char *format, ...)
{
	va_list args;

	/* One line, built first: other threads may be writing too. */
	char text[512];
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (place)
		fprintf(stderr, "avow: misuse: %s (promise made at %s)\n", text,
			place);
	else
		fprintf(stderr, "avow: misuse: %s\n", text);
	fflush(stderr);
	abort();
}

/* "message (domain 7) (file.c:42)", as far as there is each. */
static void report_error(avow_value error)
{
	const avow_domain *domain = avow_domain_of(error);
	fprintf(stderr, "%s", avow_message(error));
	if (domain)
		fprintf(stderr, " (%s %d)", domain->type.name,
			avow_code(error));
	if (*avow_error_place(error))
		fprintf(stderr, " (%s)", avow_error_place(error));
	fputc('\n', stderr);
}

static void report_places(const avow_report *report)
{
	for (size_t i = 0; i < report->place_count; i++)
		fprintf(stderr, "    %s %s\n", i ? "after" : "at",
			report->place[i]);
}

/* So many causes are printed of one error, at most. */
#define REPORT_CAUSES_MAX 10

static void report_cause(avow_value cause)
{
	fprintf(stderr, "    caused by: ");
	report_error(cause);
}

/* The causes of an aggregate stand beside each other, not behind. */
static void report_list(avow_value list, size_t room)
{
	const size_t count = avow_list_count(list);
	for (size_t i = 0; i < count && i < room; i++)
		report_cause(avow_list_at(list, i));
	if (count > room)
		fprintf(stderr, "    and by %zu more\n", count - room);
}

static void report_causes(avow_value error)
{
	avow_value cause = avow_cause(error);
	for (size_t room = REPORT_CAUSES_MAX; room && cause.type; room--) {
		if (avow_is(cause, &avow_list_type)) {
			report_list(cause, room);
			return;
		}
		report_cause(cause);
		cause = avow_cause(cause);
	}
}

void avow_report_print(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)arg;
	switch (report->kind) {
	case AVOW_REPORT_UNHANDLED:
		fprintf(stderr, "avow: unhandled rejection: ");
		report_error(report->error);
		report_causes(report->error);
		break;
	case AVOW_REPORT_ABANDONED:
		fprintf(stderr, "avow: loop freed, never called back: %s\n",
			report->call ? report->call : "a pending promise");
		break;
	case AVOW_REPORT_MEMORY:
		fprintf(stderr, "avow: out of memory, on the reserve now\n");
		break;
	case AVOW_REPORT_LATE:
		fprintf(stderr, "avow: callback came twice or too late: %s\n",
			report->call ? report->call : "a call");
		break;
	}
	report_places(report);
}

void avow_report_abort(avow_loop *loop, const avow_report *report, void *arg)
{
	avow_report_print(loop, report, arg);
	if (report->kind == AVOW_REPORT_UNHANDLED) {
		fflush(stderr);
		abort();
	}
}

void avow__report(avow_loop *loop, const avow_report *report)
{
	loop->report(loop, report, loop->report_arg);
}

void avow_loop_on_report(avow_loop *loop, avow_report_fn *fn, void *arg)
{
	CHECK(loop, NULL, "avow_loop_on_report() with a NULL loop");
	loop->report = fn ? fn : avow_report_print;
	loop->report_arg = fn ? arg : NULL;
}
