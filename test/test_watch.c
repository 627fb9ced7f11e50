/*
 * SPDX-License-Identifier: MIT
 *
 * The clock and descriptors: avow_delay, avow_immediate, avow_readable,
 * avow_writable, and avow_drive, which waits for one descriptor after another.
 *
 * No test measures time.  Intervals are a few milliseconds and only the order
 * of what happens is compared; a wait that should have been stopped is so long
 * that the test's time limit would end it.
 */
#include "fixture.h"

#include <fcntl.h>
#include <math.h>
#include <sys/socket.h>

/* A watcher with this deadline is never waited for. */
#define FOR_EVER 1e6

static avow_value has_code(avow_value error, int code)
{
	ck_assert_msg(avow_error_is(error, &avow_core_domain, code),
		      "not the code %d: %s", code, avow_message(error));
	return avow_none();
}

static avow_value is_invalid(avow_value error, void *name)
{
	fx_log("%s", (const char *)name);
	return has_code(error, AVOW_EINVALID);
}

static avow_value is_bad_descriptor(avow_value error, void *name)
{
	fx_log("%s", (const char *)name);
	ck_assert(avow_error_is(error, &avow_errno_domain, EBADF));
	return avow_none();
}

static void cancel(void *p)
{
	fx_log("cancel");
	avow_cancel(p);
}

struct ends {
	int ours, theirs;
};

static struct ends ends_new(void)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				    fd), 0);
	return (struct ends){ fd[0], fd[1] };
}

static void ends_free(struct ends e)
{
	close(e.ours);
	close(e.theirs);
}

static void send_text(struct ends e, const char *text)
{
	const size_t size = strlen(text);

	ck_assert_int_eq(write(e.theirs, text, size), (ssize_t)size);
}

static void send_x(void *ends)
{
	fx_log("send");
	send_text(*(struct ends *)ends, "x");
}

/* Write until nothing more fits. */
static void fill(int fd)
{
	static const char block[4096];

	while (write(fd, block, sizeof(block)) > 0)
		continue;
	ck_assert_int_eq(errno, EAGAIN);
}

static void drain(void *ends)
{
	char block[4096];

	fx_log("drain");
	while (read(((struct ends *)ends)->theirs, block, sizeof(block)) > 0)
		continue;
}

/* The number of an open descriptor that was closed again. */
static int closed_descriptor(void)
{
	const int fd = dup(STDOUT_FILENO);

	ck_assert_int_ge(fd, 0);
	close(fd);
	return fd;
}


/* -------------------------------------------------------------- avow_delay */

FX_TEST(a_delay_is_fulfilled_with_none)
{
	avow_then(avow_delay(fx.loop, .001), fx_note, "then");
	fx_log("attached");
	fx_run();

	fx_expect("attached|then:none");
}

FX_TEST(a_delay_of_zero_is_still_a_turn_of_the_loop_away)
{
	avow_promise *const p = avow_delay(fx.loop, 0);

	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_then(p, fx_note, "delay");
	ck_assert(avow_post(fx.loop, fx_job, "job"));
	fx_run();

	fx_expect("job|delay:none");
}

FX_TEST(delays_end_in_the_order_of_their_deadlines)
{
	avow_then(avow_delay(fx.loop, .3), fx_note, "third");
	avow_then(avow_delay(fx.loop, .05), fx_note, "first");
	avow_then(avow_delay(fx.loop, .15), fx_note, "second");
	fx_run();

	fx_expect("first:none|second:none|third:none");
}

FX_TEST(a_negative_delay_or_one_that_is_no_number_is_rejected)
{
	avow_catch(avow_delay(fx.loop, -.001), is_invalid, "negative");
	avow_catch(avow_delay(fx.loop, -INFINITY), is_invalid, "-infinity");
	avow_catch(avow_delay(fx.loop, NAN), is_invalid, "nan");
	fx_run();

	fx_expect("negative|-infinity|nan");
}

FX_TEST(a_delay_of_minus_zero_is_a_delay_of_zero)
{
	avow_then(avow_delay(fx.loop, -0.), fx_note, "then");
	fx_run();

	fx_expect("then:none");
}

FX_TEST(a_cancelled_delay_keeps_the_loop_running_no_longer)
{
	avow_promise *const p = avow_delay(fx.loop, FOR_EVER);

	avow_then(p, fx_note, "never");
	avow_cancel(p);
	ck_assert(avow_is_cancelled(avow_value_of(p)));
	fx_run();

	fx_expect("");
}

FX_TEST(a_delay_can_be_cancelled_by_the_end_of_its_chain)
{
	avow_promise *p = avow_delay(fx.loop, FOR_EVER);

	p = avow_then(p, fx_note, "never");
	p = avow_finally(p, fx_note, "finally");
	fx_later(.001, cancel, p);
	fx_run();

	ck_assert_int_eq(strncmp(fx_take_log(), "cancel|finally:!", 16), 0);
}

FX_TEST(one_of_two_delays_can_be_cancelled_from_a_callback)
{
	avow_promise *const p = avow_delay(fx.loop, FOR_EVER);

	avow_then(avow_delay(fx.loop, .004), fx_note, "other");
	fx_later(.001, cancel, p);
	fx_run();

	fx_expect("cancel|other:none");
}

static avow_value wait_again(avow_value value, void *lap)
{
	fx_log("lap:%d", ++*(int *)lap);
	if (*(int *)lap == 3)
		return value;
	return avow_await(avow_then(avow_delay(fx.loop, .001), wait_again,
				    lap));
}

FX_TEST(a_handler_can_wait_with_a_delay)
{
	int lap = 0;
	avow_promise *const p = avow_delay(fx.loop, 0);

	avow_then(avow_then(p, wait_again, &lap), fx_note, "end");
	fx_run();

	fx_expect("lap:1|lap:2|lap:3|end:none");
}

FX_TEST(waiting_for_a_delay_runs_the_loop)
{
	const avow_value value = avow_wait(avow_delay(fx.loop, .001));

	ck_assert(avow_is_none(value));
}

static avow_value count_one(avow_value value, void *count)
{
	++*(size_t *)count;
	return value;
}

FX_TEST_LIMIT(thousands_of_delays_leave_nothing_behind, 20)
{
	const size_t total = fx_scale(20 * 1000);
	size_t count = 0;

	for (size_t i = 0; i < total; i++) {
		avow_promise *const p =
			avow_delay(fx.loop, i % 3 ? .001 : FOR_EVER);

		avow_then(p, count_one, &count);
		if (i % 3 == 0)
			avow_cancel(p);
	}
	fx_run();

	ck_assert_uint_eq(count, total - (total + 2) / 3);
}

FX_TEST(the_end_of_the_loop_abandons_a_delay)
{
	avow_catch(avow_delay(fx.loop, FOR_EVER), fx_note, "caught");
	fx_free_loop();
	fx_run();

	ck_assert_int_eq(strncmp(fx_take_log(), "caught:!", 8), 0);
	(void)fx_take_reports();
}

FX_TEST(destroying_the_libev_loop_first_is_survived)
{
	const struct ends e = ends_new();

	avow_catch(avow_delay(fx.loop, FOR_EVER), fx_note, NULL);
	avow_catch(avow_readable(fx.loop, e.ours), fx_note, NULL);
	avow_catch(avow_immediate(fx.loop), fx_note, NULL);
	fx_destroy_ev();
	ck_assert_ptr_null(avow_loop_ev(fx.loop));
	fx_free_loop();

	(void)fx_take_log();
	(void)fx_take_reports();
	ends_free(e);
}

FX_TEST(work_begun_after_the_libev_loop_is_gone_never_hangs)
{
	fx_destroy_ev();

	avow_catch(avow_delay(fx.loop, .001), fx_note, "delay");
	avow_catch(avow_immediate(fx.loop), fx_note, "immediate");
	avow_catch(avow_readable(fx.loop, STDIN_FILENO), fx_note, "readable");
	fx_free_loop();

	const char *const log = fx_take_log();
	ck_assert_ptr_nonnull(strstr(log, "delay:!"));
	ck_assert_ptr_nonnull(strstr(log, "immediate:!"));
	ck_assert_ptr_nonnull(strstr(log, "readable:!"));
	(void)fx_take_reports();
}


/* ---------------------------------------------------------- avow_immediate */

static unsigned iteration_before;

static avow_value log_iteration(avow_value value, void *name)
{
	fx_log("%s:+%u", (const char *)name,
	       ev_iteration(fx.ev) - iteration_before);
	return value;
}

static void start_immediates(void *arg)
{
	(void)arg;
	iteration_before = ev_iteration(fx.ev);
	avow_then(avow_immediate(fx.loop), log_iteration, "immediate");
	avow_then(avow_resolved(fx.loop, avow_none()), log_iteration, "job");
	avow_then(avow_immediate(fx.loop), log_iteration, "immediate");
}

FX_TEST(an_immediate_comes_in_the_next_iteration)
{
	fx_in_callback(start_immediates, NULL);

	fx_expect("job:+0|immediate:+1|immediate:+1");
}

static avow_value immediate_again(avow_value value, void *name)
{
	log_iteration(value, name);
	return avow_await(avow_then(avow_immediate(fx.loop), log_iteration,
				    name));
}

static void start_immediate_again(void *arg)
{
	iteration_before = ev_iteration(fx.ev);
	avow_then(avow_immediate(fx.loop), immediate_again, arg);
}

FX_TEST(an_immediate_made_by_an_immediate_comes_an_iteration_later)
{
	fx_in_callback(start_immediate_again, "turn");

	fx_expect("turn:+1|turn:+2");
}

FX_TEST(an_immediate_made_outside_the_loop_comes_at_its_first_iteration)
{
	avow_promise *const p = avow_immediate(fx.loop);

	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_then(p, fx_note, "immediate");
	fx_run();

	fx_expect("immediate:none");
}

static avow_value spin(avow_value value, void *turns)
{
	(void)value;
	if (--*(int *)turns == 0)
		return avow_none();
	return avow_await(avow_then(avow_immediate(fx.loop), spin, turns));
}

static void stop_spinning(void *turns)
{
	fx_log("timer");
	*(int *)turns = 1;
}

FX_TEST(immediates_without_end_let_timers_be_served)
{
	int turns = 1000 * 1000 * 1000;

	avow_then(avow_immediate(fx.loop), spin, &turns);
	fx_later(.002, stop_spinning, &turns);
	fx_run();

	fx_expect("timer");
}

FX_TEST(a_cancelled_immediate_does_not_come)
{
	avow_promise *const p = avow_immediate(fx.loop);

	avow_then(p, fx_note, "never");
	avow_cancel(p);
	fx_run();

	fx_expect("");
}


/* ------------------------------------------------ Readable and writable */

FX_TEST(what_can_be_read_is_readable)
{
	const struct ends e = ends_new();

	send_text(e, "x");
	avow_promise *const p = avow_readable(fx.loop, e.ours);
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_then(p, fx_note, "events");
	fx_run();

	ck_assert_int_eq(AVOW_READ, 1);
	fx_expect("events:1");
	ends_free(e);
}

FX_TEST(a_readable_promise_waits_until_there_is_something_to_read)
{
	struct ends e = ends_new();

	avow_then(avow_readable(fx.loop, e.ours), fx_note, "events");
	fx_later(.002, send_x, &e);
	fx_run();

	fx_expect("send|events:1");
	ends_free(e);
}

static void hang_up(void *ends)
{
	fx_log("hang up");
	shutdown(((struct ends *)ends)->theirs, SHUT_WR);
}

FX_TEST(the_end_of_the_stream_is_readable)
{
	struct ends e = ends_new();

	avow_then(avow_readable(fx.loop, e.ours), fx_note, "events");
	fx_later(.001, hang_up, &e);
	fx_run();

	fx_expect("hang up|events:1");
	ends_free(e);
}

FX_TEST(what_can_be_written_is_writable)
{
	const struct ends e = ends_new();

	avow_then(avow_writable(fx.loop, e.ours), fx_note, "events");
	fx_run();

	ck_assert_int_eq(AVOW_WRITE, 2);
	fx_expect("events:2");
	ends_free(e);
}

FX_TEST(a_writable_promise_waits_until_there_is_room)
{
	struct ends e = ends_new();

	fill(e.ours);
	avow_then(avow_writable(fx.loop, e.ours), fx_note, "events");
	fx_later(.002, drain, &e);
	fx_run();

	fx_expect("drain|events:2");
	ends_free(e);
}

static avow_value then_send(avow_value value, void *ends)
{
	fx_log("write:%s", fx_text(value));
	fx_later(.001, send_x, ends);
	return avow_none();
}

FX_TEST(a_descriptor_can_be_waited_for_by_several)
{
	struct ends e = ends_new();

	avow_then(avow_readable(fx.loop, e.ours), fx_note, "read");
	avow_then(avow_readable(fx.loop, e.ours), fx_note, "read");
	avow_then(avow_writable(fx.loop, e.ours), then_send, &e);
	fx_run();

	fx_expect("write:2|send|read:1|read:1");
	ends_free(e);
}

FX_TEST(a_descriptor_that_is_not_open_is_rejected_with_EBADF)
{
	const int closed = closed_descriptor();

	avow_catch(avow_readable(fx.loop, closed), is_bad_descriptor, "a");
	avow_catch(avow_writable(fx.loop, closed), is_bad_descriptor, "b");
	fx_run();

	fx_expect("a|b");
}

FX_TEST(a_negative_descriptor_is_rejected_with_EBADF)
{
	avow_catch(avow_readable(fx.loop, -1), is_bad_descriptor, "a");
	avow_catch(avow_writable(fx.loop, -1), is_bad_descriptor, "b");
	fx_run();

	fx_expect("a|b");
}

/* libev keeps a table that reaches to the largest number it was given. */
FX_TEST(a_number_too_large_for_a_descriptor_is_rejected_with_EBADF)
{
	avow_catch(avow_readable(fx.loop, 1 << 30), is_bad_descriptor, "a");
	fx_run();

	fx_expect("a");
}

FX_TEST(a_cancelled_descriptor_is_watched_no_longer)
{
	const struct ends e = ends_new();
	avow_promise *const p = avow_readable(fx.loop, e.ours);
	avow_promise *const q = avow_writable(fx.loop, e.ours);

	avow_then(p, fx_note, "never");
	avow_then(q, fx_note, "never");
	avow_cancel(p);
	avow_cancel(q);
	send_text(e, "x");
	fx_run();
	ends_free(e);
	fx_run();

	fx_expect("");
}

FX_TEST(a_descriptor_can_be_closed_and_its_number_used_again)
{
	struct ends e = ends_new();

	avow_cancel(avow_readable(fx.loop, e.ours));
	ends_free(e);
	e = ends_new();
	avow_then(avow_readable(fx.loop, e.ours), fx_note, "events");
	fx_later(.001, send_x, &e);
	fx_run();

	fx_expect("send|events:1");
	ends_free(e);
}

FX_TEST(the_end_of_the_loop_abandons_a_descriptor)
{
	const struct ends e = ends_new();

	avow_catch(avow_readable(fx.loop, e.ours), fx_note, "caught");
	fx_free_loop();
	send_text(e, "x");
	fx_run();

	ck_assert_int_eq(strncmp(fx_take_log(), "caught:!", 8), 0);
	(void)fx_take_reports();
	ends_free(e);
}


FX_TEST(waiting_for_a_descriptor_can_have_a_limit)
{
	struct ends e = ends_new();

	avow_then(avow_ready_at(AVOW_HERE, fx.loop, e.ours, AVOW_READ, .001),
		  fx_note, "limited");
	fx_run();
	fx_expect("limited:4");

	avow_catch(avow_ready_at(AVOW_HERE, fx.loop, e.ours, AVOW_READ, -1),
		   is_invalid, "negative");
	avow_catch(avow_ready_at(AVOW_HERE, fx.loop, e.ours, AVOW_READ, NAN),
		   is_invalid, "nan");
	fx_run();
	fx_expect("negative|nan");
	ends_free(e);

	avow_catch(avow_ready_at(AVOW_HERE, fx.loop, e.ours, AVOW_READ,
				 FOR_EVER),
		   is_bad_descriptor, "closed");
	fx_run();
	fx_expect("closed");
}

FX_TEST(the_functions_behind_the_macros_can_be_pointed_to)
{
	avow_promise *(*const delay)(avow_loop *, double) = avow_delay;
	avow_promise *(*const immediate)(avow_loop *) = avow_immediate;
	avow_promise *(*const readable)(avow_loop *, int) = avow_readable;
	avow_promise *(*const writable)(avow_loop *, int) = avow_writable;
	struct ends e = ends_new();

	send_text(e, "x");
	avow_then(delay(fx.loop, .002), fx_note, NULL);
	fx_run();
	avow_then(immediate(fx.loop), fx_note, NULL);
	fx_run();
	avow_then(readable(fx.loop, e.ours), fx_note, NULL);
	fx_run();
	avow_then(writable(fx.loop, e.ours), fx_note, NULL);
	fx_run();

	fx_expect("none|none|1|2");
	ends_free(e);
}


/* -------------------------------------------------------------- avow_drive */

/* What a step does at its first, second, ... call; and what it was told. */
struct machine {
	struct ends ends;
	int call;
	int fd;
	avow_value (*step)(struct machine *m, int events);
	avow_promise *p;
};

static avow_value drive_machine(avow_value events, void *state)
{
	struct machine *const m = state;

	fx_log("step:%d", (int)avow_int_get(events));
	m->call++;
	return m->step(m, (int)avow_int_get(events));
}

static avow_value gives_seven_at_once(struct machine *m, int events)
{
	(void)m;
	(void)events;
	return avow_int(7);
}

FX_TEST(a_step_is_a_job_and_is_first_told_no_events)
{
	struct machine m = { .step = gives_seven_at_once };
	avow_promise *const p = avow_drive(fx.loop, drive_machine, &m);

	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	fx_log("driven");
	avow_then(p, fx_note, "then");
	fx_run();

	fx_expect("driven|step:0|then:7");
}

static avow_value fails_at_once(struct machine *m, int events)
{
	(void)m;
	(void)events;
	return avow_error(EIO, "failed");
}

FX_TEST(a_drive_can_be_started_through_a_pointer)
{
	avow_promise *(*const drive)(avow_loop *, avow_handler_fn *, void *) =
		avow_drive;
	struct machine m = { .step = gives_seven_at_once };

	avow_then(drive(fx.loop, drive_machine, &m), fx_note, "then");
	fx_run();

	fx_expect("step:0|then:7");
}

FX_TEST(an_error_of_a_step_rejects)
{
	struct machine m = { .step = fails_at_once };

	avow_catch(avow_drive(fx.loop, drive_machine, &m), fx_note, "catch");
	fx_run();

	fx_expect("step:0|catch:!failed");
}

static avow_value waits_for_a_promise(struct machine *m, int events)
{
	(void)m;
	(void)events;
	return avow_await(avow_then(avow_delay(fx.loop, .001), fx_seven,
				    "delay"));
}

FX_TEST(a_step_can_hand_over_to_a_promise)
{
	struct machine m = { .step = waits_for_a_promise };

	avow_then(avow_drive(fx.loop, drive_machine, &m), fx_note, "then");
	fx_run();

	fx_expect("step:0|delay:none|then:7");
}

static avow_value reads_three(struct machine *m, int events)
{
	char c;

	(void)events;
	if (m->call > 1 && read(m->ends.ours, &c, 1) != 1)
		return avow_errno(errno);
	if (m->call == 4)
		return avow_int(7);
	fx_later(.001, send_x, &m->ends);
	return avow_until(m->ends.ours, AVOW_READ, 0);
}

FX_TEST(a_step_can_wait_for_reading_again_and_again)
{
	struct machine m = { .ends = ends_new(), .step = reads_three };

	avow_then(avow_drive(fx.loop, drive_machine, &m), fx_note, "then");
	fx_run();

	fx_expect("step:0|send|step:1|send|step:1|send|step:1|then:7");
	ends_free(m.ends);
}

static avow_value waits_once(struct machine *m, int events)
{
	if (m->call == 1)
		return avow_until(m->ends.ours, AVOW_WRITE, 0);
	return avow_int(events);
}

FX_TEST(a_step_can_wait_for_writing)
{
	struct machine m = { .ends = ends_new(), .step = waits_once };

	fill(m.ends.ours);
	avow_then(avow_drive(fx.loop, drive_machine, &m), fx_note, "then");
	fx_later(.002, drain, &m.ends);
	fx_run();

	fx_expect("step:0|drain|step:2|then:2");
	ends_free(m.ends);
}

static avow_value waits_for_both(struct machine *m, int events)
{
	(void)events;
	return m->call <= 2 ?
		avow_until(m->ends.ours, AVOW_READ | AVOW_WRITE, 0) :
		avow_none();
}

static void send_and_drain(void *ends)
{
	send_x(ends);
	drain(ends);
}

FX_TEST(a_step_can_wait_for_either_and_is_told_which_came)
{
	struct machine m = { .ends = ends_new(), .step = waits_for_both };

	fill(m.ends.ours);
	avow_then(avow_drive(fx.loop, drive_machine, &m), fx_note, "then");
	fx_later(.001, send_and_drain, &m.ends);
	fx_run();

	fx_expect("step:0|send|drain|step:3|step:3|then:none");
	ends_free(m.ends);
}

static avow_value waits_with_a_limit(struct machine *m, int events)
{
	if (m->call == 1)
		return avow_until(m->ends.ours, AVOW_READ, .002);
	return avow_int(events);
}

FX_TEST(a_step_is_told_that_its_time_is_up)
{
	struct machine m = { .ends = ends_new(), .step = waits_with_a_limit };

	avow_then(avow_drive(fx.loop, drive_machine, &m), fx_note, "then");
	fx_run();

	ck_assert_int_eq(AVOW_TIMEOUT, 4);
	fx_expect("step:0|step:4|then:4");
	ends_free(m.ends);
}

static avow_value waits_long_for_an_event(struct machine *m, int events)
{
	if (m->call == 1)
		return avow_until(m->ends.ours, AVOW_READ, FOR_EVER);
	return avow_int(events);
}

FX_TEST(an_event_that_was_there_already_ends_the_wait)
{
	struct machine m = {
		.ends = ends_new(), .step = waits_long_for_an_event
	};

	send_text(m.ends, "x");
	avow_then(avow_drive(fx.loop, drive_machine, &m), fx_note, "then");
	fx_run();

	fx_expect("step:0|step:1|then:1");
	ends_free(m.ends);
}

FX_TEST(a_clock_that_is_no_longer_needed_does_not_keep_the_loop_running)
{
	struct machine m = {
		.ends = ends_new(), .step = waits_long_for_an_event
	};

	avow_then(avow_drive(fx.loop, drive_machine, &m), fx_note, "then");
	fx_later(.001, send_x, &m.ends);
	fx_run();

	fx_expect("step:0|send|step:1|then:1");
	ends_free(m.ends);
}

static avow_value waits_for_time_alone(struct machine *m, int events)
{
	if (m->call == 1)
		return avow_until(-1, 0, .001);
	if (m->call == 2)
		return avow_until(m->fd, 0, .001);
	return avow_int(events);
}

FX_TEST(a_step_can_wait_for_time_alone_with_any_descriptor)
{
	struct machine m = {
		.step = waits_for_time_alone, .fd = closed_descriptor()
	};

	avow_then(avow_drive(fx.loop, drive_machine, &m), fx_note, "then");
	fx_run();

	fx_expect("step:0|step:4|step:4|then:4");
}

static avow_value waits_for_a_bad_descriptor(struct machine *m, int events)
{
	(void)events;
	return m->call == 1 ? avow_until(m->fd, AVOW_READ, 0) : avow_int(7);
}

FX_TEST(a_step_that_waits_for_a_bad_descriptor_rejects_with_EBADF)
{
	struct machine m = { .step = waits_for_a_bad_descriptor };

	m.fd = -1;
	avow_catch(avow_drive(fx.loop, drive_machine, &m), is_bad_descriptor,
		   "negative");
	fx_run();
	m.call = 0;
	m.fd = closed_descriptor();
	avow_catch(avow_drive(fx.loop, drive_machine, &m), is_bad_descriptor,
		   "closed");
	fx_run();

	fx_expect("step:0|negative|step:0|closed");
}

static double strange_seconds;

static avow_value waits_strangely(struct machine *m, int events)
{
	(void)events;
	return m->call == 1 ? avow_until(-1, 0, strange_seconds) : avow_int(7);
}

FX_TEST(a_step_that_waits_for_no_possible_time_rejects)
{
	struct machine m = { .step = waits_strangely };

	strange_seconds = -1;
	avow_catch(avow_drive(fx.loop, drive_machine, &m), is_invalid, "minus");
	fx_run();
	m.call = 0;
	strange_seconds = NAN;
	avow_catch(avow_drive(fx.loop, drive_machine, &m), is_invalid, "nan");
	fx_run();

	fx_expect("step:0|minus|step:0|nan");
}

static avow_value waits_for_nothing(struct machine *m, int events)
{
	(void)events;
	return m->call == 1 ? avow_until(-1, 0, 0) : avow_int(7);
}

FX_TEST(a_step_that_waits_for_no_event_and_no_time_rejects)
{
	struct machine m = { .step = waits_for_nothing };

	avow_catch(avow_drive(fx.loop, drive_machine, &m), is_invalid, "never");
	fx_run();

	fx_expect("step:0|never");
}

static avow_value waits_for_ever(struct machine *m, int events)
{
	(void)events;
	return avow_until(m->ends.ours, AVOW_READ, FOR_EVER);
}

FX_TEST(a_cancelled_drive_watches_nothing_and_steps_no_more)
{
	struct machine m = { .ends = ends_new(), .step = waits_for_ever };
	avow_promise *const p = avow_drive(fx.loop, drive_machine, &m);

	avow_then(p, fx_note, "never");
	fx_later(.001, cancel, p);
	fx_run();
	send_text(m.ends, "x");
	fx_run();

	fx_expect("step:0|cancel");
	ends_free(m.ends);
}

FX_TEST(a_drive_cancelled_before_its_first_step_never_steps)
{
	struct machine m = { .step = gives_seven_at_once };

	avow_cancel(avow_drive(fx.loop, drive_machine, &m));
	fx_run();

	fx_expect("");
}

static avow_value cancels_itself(struct machine *m, int events)
{
	(void)events;
	avow_cancel(m->p);
	return avow_until(m->ends.ours, AVOW_READ, FOR_EVER);
}

FX_TEST(a_step_may_cancel_its_own_promise)
{
	struct machine m = { .ends = ends_new(), .step = cancels_itself };

	m.p = avow_drive(fx.loop, drive_machine, &m);
	avow_finally(m.p, fx_note, "finally");
	avow_catch(m.p, fx_note, "cancelled");
	send_text(m.ends, "x");
	fx_run();

	const char *const log = fx_take_log();
	ck_assert_int_eq(strncmp(log, "step:0|", 7), 0);
	ck_assert_ptr_null(strstr(log, "step:1"));
	ends_free(m.ends);
}

static avow_value cancels_itself_and_gives_a_box(struct machine *m, int events)
{
	(void)events;
	avow_cancel(m->p);
	return fx_box_new(1);
}

FX_TEST(what_a_step_gives_after_cancelling_itself_is_dropped)
{
	struct machine m = { .step = cancels_itself_and_gives_a_box };

	m.p = avow_drive(fx.loop, drive_machine, &m);
	fx_run();

	fx_expect("step:0");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value frees_the_loop(struct machine *m, int events)
{
	(void)events;
	fx_free_loop();
	return avow_until(m->ends.ours, AVOW_READ, FOR_EVER);
}

FX_TEST(a_step_may_free_the_loop)
{
	struct machine m = { .ends = ends_new(), .step = frees_the_loop };

	avow_catch(avow_drive(fx.loop, drive_machine, &m), fx_note, "caught");
	fx_run();
	send_text(m.ends, "x");
	fx_run();

	ck_assert_int_eq(strncmp(fx_take_log(), "step:0|caught:!", 15), 0);
	(void)fx_take_reports();
	ends_free(m.ends);
}

static avow_value waits_within(struct machine *m, int events)
{
	(void)events;
	if (m->call > 1)
		return avow_int(7);
	const avow_value value = avow_wait(avow_delay(fx.loop, .002));
	fx_log("waited:%s", fx_text(value));
	return avow_until(-1, 0, .001);
}

FX_TEST(a_step_may_run_the_loop_itself)
{
	struct machine m = { .step = waits_within };

	avow_then(avow_drive(fx.loop, drive_machine, &m), fx_note, "then");
	fx_run();

	fx_expect("step:0|waited:none|step:4|then:7");
}

static avow_value goes_round(struct machine *m, int events)
{
	(void)events;
	return m->call == (int)fx_scale(5000) ? avow_int(7) :
		avow_until(m->ends.ours, AVOW_WRITE, FOR_EVER);
}

static avow_value drive_quietly(avow_value events, void *state)
{
	struct machine *const m = state;

	m->call++;
	return m->step(m, (int)avow_int_get(events));
}

FX_TEST_LIMIT(a_drive_of_thousands_of_steps_grows_by_nothing, 20)
{
	struct machine m = { .ends = ends_new(), .step = goes_round };
	size_t before;

	avow_then(avow_drive(fx.loop, drive_quietly, &m), fx_note, "then");
	ev_run(fx.ev, EVRUN_ONCE);
	before = fx_bytes();
	fx_run();

	fx_expect("then:7");
	ck_assert_uint_le(fx_bytes(), before);
	ends_free(m.ends);
}

FX_TEST(the_end_of_the_loop_abandons_a_drive)
{
	struct machine m = { .ends = ends_new(), .step = waits_for_ever };

	avow_catch(avow_drive(fx.loop, drive_machine, &m), fx_note, "caught");
	ev_run(fx.ev, EVRUN_NOWAIT);
	fx_free_loop();
	send_text(m.ends, "x");
	fx_run();

	ck_assert_int_eq(strncmp(fx_take_log(), "step:0|caught:!", 15), 0);
	(void)fx_take_reports();
	ends_free(m.ends);
}

int main(void)
{
	return fx_main("watch");
}
