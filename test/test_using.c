/*
 * SPDX-License-Identifier: MIT
 *
 * Resources: acquired in a row, used, and released in reverse order, whatever
 * happens in between.
 *
 * Most tests use three resources, a, b and c, that log what is done to them.
 * What happens at a stage is set beforehand: succeed, fail, wait, and so on.
 */
#include "hoard.h"
#include "scene.h"

enum how { GIVE, FAIL, WAIT, LATER };

/* A resource is the box it is numbered by. */
struct thing {
	const char *name;
	enum how acquire, release;
	void *context; /* of what waits */
};

static struct thing a, b, c;
static enum how use_how;
static void *use_context;

static void reset(void)
{
	a = (struct thing){ .name = "a" };
	b = (struct thing){ .name = "b" };
	c = (struct thing){ .name = "c" };
	use_how = GIVE;
}

static void stopped(void *name)
{
	fx_log("stop %s", (const char *)name);
}

static avow_value do_it(enum how how, const char *name, avow_value value,
			void **context)
{
	if (how == FAIL)
		return avow_error(EIO, "bad %s", name);
	if (how == LATER)
		return avow_await(avow_then(avow_delay(avow_loop_current(), 0),
					    fx_pass, name));
	if (how == GIVE)
		return value;
	const avow_call call = avow_begin(avow_loop_current(), name);
	avow_on_cancel(call.context, stopped, name);
	*context = call.context;
	return avow_await(avow_end(call, true, 0));
}

static avow_value acquire(avow_value value, void *arg)
{
	struct thing *const thing = arg;
	fx_log("+%s(%s)", thing->name, fx_text(value));
	return do_it(thing->acquire, thing->name,
		     fx_box_new(thing->name[0] - 'a'), &thing->context);
}

static avow_value release(avow_value value, void *arg)
{
	struct thing *const thing = arg;
	fx_log("-%s(%s)", thing->name, fx_text(value));
	return do_it(thing->release, thing->name, avow_none(), &thing->context);
}

/* The box of an acquire that waits is dropped by do_it()'s caller: none is
 * made, and an int stands for it. */
static avow_value acquire_int(avow_value value, void *arg)
{
	struct thing *const thing = arg;
	fx_log("+%s(%s)", thing->name, fx_text(value));
	return do_it(thing->acquire, thing->name,
		     avow_int(thing->name[0] - 'a'), &thing->context);
}

static avow_value use(avow_value value, void *arg)
{
	fx_log("use(%s)%s", fx_text(value), arg ? (const char *)arg : "");
	return do_it(use_how, "use", avow_int(9), &use_context);
}

static const avow_resource boxes[] = { { acquire, release, &a },
				       { acquire, release, &b },
				       { acquire, release, &c } };
static const avow_resource ints[] = { { acquire_int, release, &a },
				      { acquire_int, release, &b },
				      { acquire_int, release, &c } };

static avow_promise *start(void)
{
	avow_promise *const p = avow_using(fx.loop, ints, 3, use, NULL);
	avow_on(p, .fulfilled = fx_note, .rejected = fx_note, .arg = "end");
	return p;
}

static void free_the_loop(void *loop)
{
	avow_loop_free(loop);
}


/* --------------------------------------------------------------- In order */

FX_TEST(resources_are_acquired_used_and_released_in_reverse)
{
	reset();
	avow_on(avow_using(fx.loop, boxes, 3, use, "!"), .fulfilled = fx_note,
		.arg = "end");
	fx_log("attached");
	fx_run();

	fx_expect("attached|+a(none)|+b(box:0)|+c(box:1)|use(box:2)!|"
		  "-c(box:2)|-b(box:1)|-a(box:0)|end:9");
}

FX_TEST(one_resource_is_given_to_its_use_as_it_is)
{
	reset();
	avow_on(avow_using(fx.loop, boxes, 1, use, NULL), .fulfilled = fx_note,
		.arg = "end");
	fx_run();

	fx_expect("+a(none)|use(box:0)|-a(box:0)|end:9");
}

FX_TEST(without_resources_the_use_gets_none)
{
	reset();
	avow_on(avow_using(fx.loop, NULL, 0, use, NULL), .fulfilled = fx_note,
		.arg = "end");
	fx_run();

	fx_expect("use(none)|end:9");
}

FX_TEST(acquires_use_and_releases_are_waited_for)
{
	reset();
	a.acquire = b.acquire = c.acquire = use_how = WAIT;
	a.release = c.release = LATER;
	start();
	fx_run();
	fx_expect("+a(none)");
	avow_settle(a.context, avow_int(10));
	fx_run();
	fx_expect("+b(10)");
	avow_settle(b.context, avow_int(20));
	fx_run();
	fx_expect("+c(20)");
	avow_settle(c.context, avow_int(30));
	fx_run();
	fx_expect("use(30)");
	avow_settle(use_context, avow_int(40));
	fx_run();

	fx_expect("-c(30)|c:none|-b(20)|-a(10)|a:none|end:40");
}

FX_TEST(the_array_of_resources_is_read_at_once)
{
	avow_resource list[] = { { acquire_int, release, &a } };

	reset();
	avow_on(avow_using(fx.loop, list, 1, use, NULL), .fulfilled = fx_note,
		.arg = "end");
	memset(list, 0, sizeof(list));
	fx_run();

	fx_expect("+a(none)|use(0)|-a(0)|end:9");
}

FX_TEST(without_a_release_the_value_is_dropped)
{
	const avow_resource list[] = { { acquire, NULL, &a },
				       { acquire, release, &b },
				       { acquire, NULL, &c } };

	reset();
	avow_on(avow_using(fx.loop, list, 3, use, NULL), .fulfilled = fx_note,
		.arg = "end");
	fx_run();

	fx_expect("+a(none)|+b(box:0)|+c(box:1)|use(box:2)|-b(box:1)|end:9");
	ck_assert_int_eq(fx.boxes, 0);
}

static avow_value take_back(avow_value value, void *arg)
{
	struct fx_box **const kept = arg;
	*kept = fx_box_take(value);
	return avow_none();
}

static avow_value try_to_take(avow_value value, void *arg)
{
	const avow_value taken = avow_take(value);
	(void)arg;
	ck_assert(avow_error_is(taken, &avow_core_domain, AVOW_ENOTCOPYABLE));
	avow_drop(taken);
	return avow_none();
}

static avow_value a_box(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return fx_box_new(4);
}

FX_TEST(a_release_may_take_its_value_and_a_use_may_not)
{
	struct fx_box *kept = NULL;
	const avow_resource list[] = { { a_box, take_back, &kept } };

	avow_using(fx.loop, list, 1, try_to_take, NULL);
	fx_run();

	ck_assert_ptr_nonnull(kept);
	ck_assert_int_eq(kept->number, 4);
	avow_drop(fx_box_value(kept));
}

static avow_value pass(avow_value value, void *arg)
{
	(void)arg;
	return value;
}

static avow_value give_three(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return fx_box_new(3);
}

static avow_value take_box(avow_value value, void *name)
{
	const avow_value box = avow_take(value);
	fx_log("%s:%s", (const char *)name, fx_text(box));
	avow_drop(box);
	return avow_none();
}

static void use_and_wait(void *arg)
{
	const avow_resource one[] = { { give_three, take_box, "release" } };
	(void)arg;
	const avow_value value =
		avow_wait(avow_using(fx.loop, one, 1, fx_seven, "use"));
	fx_log("waited:%s", fx_text(value));
}

/* It was acquired by a step from further out. */
FX_TEST(a_release_may_take_its_value_in_a_nested_loop)
{
	fx_in_callback(use_and_wait, NULL);

	fx_expect("use:box:3|release:box:3|waited:7");
}

FX_TEST(a_use_may_pass_the_resource_on)
{
	const avow_resource list[] = { { a_box, NULL, NULL } };

	avow_then(avow_using(fx.loop, list, 1, pass, NULL), fx_note, "end");
	fx_run();

	fx_expect("end:box:4");
}


/* ------------------------------------------------------------------ Failing */

FX_TEST(a_failed_acquire_releases_those_before_it)
{
	reset();
	c.acquire = FAIL;
	start();
	fx_run();

	fx_expect("+a(none)|+b(0)|+c(1)|-b(1)|-a(0)|end:!bad c");
}

FX_TEST(a_failed_first_acquire_releases_nothing)
{
	reset();
	a.acquire = FAIL;
	start();
	fx_run();

	fx_expect("+a(none)|end:!bad a");
}

FX_TEST(a_failed_use_is_what_the_promise_gets)
{
	reset();
	use_how = FAIL;
	start();
	fx_run();

	fx_expect("+a(none)|+b(0)|+c(1)|use(2)|-c(2)|-b(1)|-a(0)|"
		  "end:!bad use");
}

FX_TEST(the_error_of_a_release_takes_the_place_of_a_value)
{
	reset();
	b.release = FAIL;
	start();
	fx_run();

	fx_expect("+a(none)|+b(0)|+c(1)|use(2)|-c(2)|-b(1)|-a(0)|end:!bad b");
}

FX_TEST(a_second_error_is_reported)
{
	reset();
	c.release = a.release = FAIL;
	start();
	fx_run();

	fx_expect("+a(none)|+b(0)|+c(1)|use(2)|-c(2)|-b(1)|-a(0)|end:!bad c");
	fx_expect_reports("unhandled:bad a");
}

FX_TEST(the_error_of_a_release_after_a_failed_use_is_reported)
{
	reset();
	use_how = b.release = FAIL;
	start();
	fx_run();

	fx_expect("+a(none)|+b(0)|+c(1)|use(2)|-c(2)|-b(1)|-a(0)|"
		  "end:!bad use");
	fx_expect_reports("unhandled:bad b");
}

FX_TEST(resources_without_a_list_are_rejected)
{
	avow_catch(avow_using(fx.loop, NULL, 2, use, NULL), fx_note_code,
		   "code");
	avow_catch(avow_using(fx.loop, NULL, 2, use, NULL), fx_note, "text");
	fx_run();

	fx_expect("code:10|text:!2 resources, but no list");
}


/* --------------------------------------------------------------- Cancelling */

FX_TEST(cancelled_at_once_nothing_is_acquired)
{
	reset();
	avow_cancel(start());
	fx_run();

	ck_assert_str_eq(fx_take_log(), "end:!cancelled");
}

FX_TEST(an_acquire_that_is_pending_is_cancelled)
{
	reset();
	b.acquire = WAIT;
	avow_promise *const p = start();
	fx_run();
	avow_cancel(p);
	fx_expect("+a(none)|+b(0)|stop b");
	fx_run();

	fx_expect("end:!cancelled|-a(0)");
}

FX_TEST(a_use_that_is_pending_is_cancelled)
{
	reset();
	use_how = WAIT;
	avow_promise *const p = start();
	fx_run();
	avow_cancel(p);
	fx_run();

	fx_expect("+a(none)|+b(0)|+c(1)|use(2)|stop use|end:!cancelled|"
		  "-c(2)|-b(1)|-a(0)");
}

FX_TEST(releases_are_not_cancelled_and_still_wait_for_each_other)
{
	reset();
	c.release = WAIT;
	b.release = LATER;
	avow_promise *const p = start();
	fx_run();
	avow_cancel(p);
	fx_run();
	fx_expect("+a(none)|+b(0)|+c(1)|use(2)|-c(2)|end:!cancelled");
	avow_settle(c.context, avow_none());
	fx_run();

	fx_expect("-b(1)|b:none|-a(0)");
}

FX_TEST(the_error_of_a_release_after_a_cancellation_is_reported)
{
	reset();
	use_how = WAIT;
	b.release = FAIL;
	avow_promise *const p = start();
	fx_run();
	avow_cancel(p);
	fx_run();

	fx_expect("+a(none)|+b(0)|+c(1)|use(2)|stop use|end:!cancelled|"
		  "-c(2)|-b(1)|-a(0)");
	fx_expect_reports("unhandled:bad b");
}

/* Between the moment at which an acquire succeeds and that at which anybody
 * has heard of it. */
static avow_promise *latch;

static avow_value acquire_latch(avow_value value, void *arg)
{
	(void)arg;
	fx_log("+latch(%s)", fx_text(value));
	latch = avow_pending(avow_loop_current());
	return avow_await(latch);
}

FX_TEST(what_was_acquired_just_before_a_cancellation_is_released)
{
	const avow_resource list[] = { { acquire_int, release, &a },
				       { acquire_latch, release, &b } };

	reset();
	avow_promise *const p = avow_using(fx.loop, list, 2, use, NULL);
	fx_run();
	avow_resolve(latch, avow_int(5));
	avow_cancel(p);
	fx_run();

	fx_expect("+a(none)|+latch(0)|-b(5)|-a(0)");
}

static avow_promise *running;

static avow_value cancel_and_give(avow_value value, void *arg)
{
	(void)value;
	fx_log("+cancelling");
	avow_cancel(running);
	return arg ? avow_await(avow_delay(fx.loop, 1e6)) : avow_int(6);
}

FX_TEST(an_acquire_that_cancels_what_it_is_for_is_released)
{
	const avow_resource list[] = { { acquire_int, release, &a },
				       { cancel_and_give, fx_note, NULL } };

	reset();
	running = avow_using(fx.loop, list, 2, use, NULL);
	fx_run();

	fx_expect("+a(none)|+cancelling|6|-a(0)");
}

FX_TEST(an_acquire_that_cancels_what_it_is_for_is_not_waited_for)
{
	const avow_resource list[] = { { acquire_int, release, &a },
				       { cancel_and_give, fx_note, "b" } };

	reset();
	running = avow_using(fx.loop, list, 2, use, NULL);
	fx_run();

	fx_expect("+a(none)|+cancelling|-a(0)");
}

static avow_value use_cancels(avow_value value, void *arg)
{
	(void)arg;
	fx_log("use(%s)", fx_text(value));
	avow_cancel(running);
	return fx_box_new(3);
}

FX_TEST(a_use_may_cancel_what_it_is_for)
{
	reset();
	running = avow_using(fx.loop, ints, 3, use_cancels, NULL);
	fx_run();

	fx_expect("+a(none)|+b(0)|+c(1)|use(2)|-c(2)|-b(1)|-a(0)");
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(a_signal_cancels_it)
{
	avow_abort *const stop = avow_abort_new(fx.loop);

	reset();
	use_how = WAIT;
	avow_catch(avow_using(fx.loop, ints, 1, use, NULL,
			      .signal = avow_abort_signal(stop)),
		   fx_note, "end");
	fx_run();
	avow_abort_with(stop, avow_error(EIO, "enough"));
	fx_run();

	fx_expect("+a(none)|use(0)|stop use|end:!enough|-a(0)");
	avow_abort_free(stop);
}

/* Each use is the next one's. */
static size_t depth_left;
static void *innermost;

static avow_value use_next(avow_value value, void *arg)
{
	static const avow_resource list[] = { { pass, pass, NULL } };
	(void)value;
	(void)arg;
	if (depth_left) {
		depth_left--;
		return avow_await(avow_using(avow_loop_current(), list, 1,
					     use_next, NULL));
	}
	const avow_call call = avow_begin(avow_loop_current(), "innermost");
	innermost = call.context;
	avow_on_cancel(call.context, stopped, "innermost");
	return avow_await(avow_end(call, true, 0));
}

static void cancel_promise(void *p)
{
	avow_cancel(p);
}

FX_TEST_LIMIT(nested_to_any_depth_it_is_cancelled_on_a_small_stack, 20)
{
	depth_left = fx_scale(50 * 1000);
	avow_promise *const p = avow_using(fx.loop, NULL, 0, use_next, NULL);
	fx_run();
	fx_on_small_stack(cancel_promise, p);

	fx_expect("stop innermost");
	fx_run();
}

static size_t acquired_count, released_count;

static avow_value count_acquire(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_int((int64_t)++acquired_count);
}

static avow_value count_release(avow_value value, void *arg)
{
	(void)arg;
	ck_assert_int_eq(avow_int_get(value),
			 (int64_t)(acquired_count - released_count));
	released_count++;
	return avow_none();
}

FX_TEST_LIMIT(many_resources_are_released_in_reverse, 20)
{
	const size_t count = fx_scale(200 * 1000);
	avow_resource *const list = malloc(count * sizeof(*list));

	for (size_t i = 0; i < count; i++)
		list[i] = (avow_resource){ count_acquire, count_release, NULL };
	avow_using(fx.loop, list, count, pass, NULL);
	free(list);
	fx_run();

	ck_assert_uint_eq(acquired_count, count);
	ck_assert_uint_eq(released_count, count);
}


/* ------------------------------------------------------------ The loop's end */

static void end_during(enum how *how, const char *begin, const char *end)
{
	reset();
	*how = WAIT;
	avow_promise *const p = avow_using(fx.loop, ints, 3, use, NULL);
	avow_catch(p, fx_note_code, "end");
	fx_run();
	fx_expect(begin);
	fx_free_loop();
	ck_assert_ptr_nonnull(strstr(fx_take_reports(), "abandoned:"));

	/* The promise is told when the loop comes to it. */
	char log[200];
	snprintf(log, sizeof(log), "%s", fx_take_log());
	char *const told = strstr(log, "end:3|");
	ck_assert_ptr_nonnull(told);
	memmove(told, told + 6, strlen(told + 6) + 1);
	ck_assert_str_eq(log, end);
}

FX_TEST(the_end_of_the_loop_during_an_acquire_releases_the_others)
{
	end_during(&c.acquire, "+a(none)|+b(0)|+c(1)", "stop c|-b(1)|-a(0)");
}

FX_TEST(the_end_of_the_loop_during_the_use_releases_all)
{
	end_during(&use_how, "+a(none)|+b(0)|+c(1)|use(2)",
		   "stop use|-c(2)|-b(1)|-a(0)");
}

FX_TEST(the_end_of_the_loop_during_a_release_releases_the_rest)
{
	end_during(&c.release, "+a(none)|+b(0)|+c(1)|use(2)|-c(2)",
		   "stop c|-b(1)|-a(0)");
}

FX_TEST(the_end_of_the_loop_before_the_first_acquire_acquires_nothing)
{
	reset();
	start();
	fx_free_loop();

	ck_assert_ptr_null(strstr(fx_take_log(), "+"));
}

static avow_value free_loop_in_use(avow_value value, void *loop)
{
	fx_log("use(%s)", fx_text(value));
	free_the_loop(loop);
	return avow_none();
}

FX_TEST(a_use_may_free_the_loop)
{
	avow_loop *const loop = avow_loop_new(fx.ev);

	reset();
	avow_using(loop, ints, 2, free_loop_in_use, loop);
	fx_run();

	fx_expect("+a(none)|+b(0)|use(1)|-b(1)|-a(0)");
}


/* ----------------------------------------------------------------- Anything */

static avow_value act_and_give(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	scene_act();
	return fx_box_new(1);
}

static avow_value act_and_pass(avow_value value, void *arg)
{
	(void)arg;
	scene_act();
	return value;
}

static avow_value give_box(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return fx_box_new(1);
}

static void prepare_acquire(void)
{
	const avow_resource list[] = { { give_box, pass, NULL },
				       { act_and_give, pass, NULL } };
	scene_self(avow_using(scene.loop, list, 2, pass, NULL));
}

FX_TEST(an_acquire_may_do_anything)
{
	scene_try_all(prepare_acquire, 1);
}

static void prepare_use(void)
{
	const avow_resource list[] = { { give_box, pass, NULL } };
	scene_self(avow_using(scene.loop, list, 1, act_and_pass, NULL));
}

FX_TEST(a_use_may_do_anything)
{
	scene_try_all(prepare_use, 1);
}

static void prepare_release(void)
{
	const avow_resource list[] = { { give_box, pass, NULL },
				       { give_box, act_and_pass, NULL } };
	scene_self(avow_using(scene.loop, list, 2, pass, NULL));
}

FX_TEST(a_release_may_do_anything)
{
	scene_try_all(prepare_release, 1);
}


/* --------------------------------------------------------- No memory, misuse */

static int held_things, ends;

static avow_value hold_thing(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	held_things++;
	return avow_int(held_things);
}

static avow_value let_go(avow_value value, void *arg)
{
	(void)arg;
	ck_assert_int_eq(avow_int_get(value), held_things);
	held_things--;
	return avow_none();
}

static avow_value count_end(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	ends++;
	return avow_none();
}

static void ignore(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

static void without_memory(void *arg)
{
	static const avow_resource list[] = { { hold_thing, let_go, NULL },
					      { hold_thing, let_go, NULL } };
	avow_loop *const loop = avow_loop_new(fx.ev);

	(void)arg;
	if (!loop)
		return;
	ends = 0;
	avow_loop_on_report(loop, ignore, NULL);
	avow_on(avow_using(loop, list, 2, give_box, NULL),
		.fulfilled = count_end, .rejected = count_end);
	ev_run(fx.ev, 0);
	ck_assert_int_eq(held_things, 0);
	ck_assert_int_eq(ends, 1);
	avow_loop_free(loop);
}

FX_TEST(whatever_cannot_be_allocated_all_is_released)
{
	fx_sweep(without_memory, NULL);
}

static avow_value give_number(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_int(1);
}

static size_t left;
static enum how release_how;

static avow_value take_all_memory(avow_value value, void *arg)
{
	(void)arg;
	hoard_begin(left);
	return value;
}

static avow_value release_somehow(avow_value value, void *name)
{
	fx_log("-%s", (const char *)name);
	switch (release_how) {
	case FAIL:
		return avow_errno(EIO);
	case WAIT:
		return avow_await(
			avow_resolved(avow_loop_current(), avow_none()));
	case LATER:
		return fx_box_new(1);
	case GIVE:
		break;
	}
	return value;
}

FX_TEST_LIMIT(a_release_is_called_even_when_memory_stays_away, 10)
{
	const avow_resource things[] = { { give_number, release_somehow, "a" },
					 { give_number, release_somehow,
					   "b" } };

	for (left = 0; left < 8; left++) {
		for (int how = GIVE; how <= LATER; how++) {
			reset();
			release_how = (enum how)how;
			avow_using(fx.loop, things, 2, take_all_memory, NULL);
			fx_run();
			hoard_end();
			fx_expect("-b|-a");
		}
	}
}

FX_TEST_LIMIT(what_cannot_be_begun_for_lack_of_memory_is_rejected, 10)
{
	for (size_t i = 0; i < 24; i++) {
		reset();
		left = i % 12;
		hoard_begin(left);
		/* For the run there is memory, for promises there is none. */
		if (i >= 12) {
			fx_fail_never();
			fx_fail_above(fx_bytes() + 4096);
		}
		avow_promise *const p = avow_using(fx.loop, ints, 1, use, NULL);
		avow_hold(p);
		fx_run();
		ck_assert_int_ne(avow_state_of(p), AVOW_PENDING);
		hoard_end();
		avow_release(p);
		const char *const log = fx_take_log();
		ck_assert_int_eq(strstr(log, "+a") != NULL,
				 strstr(log, "-a") != NULL);
	}
	fx_run();
	fx_take_reports();
}

static avow_value run_if_seen(avow_value value, void *is_seen)
{
	fx_check(*(const bool *)is_seen);
	return value;
}

/* As above, but what there is no memory left for is the signal. */
FX_TEST_LIMIT(what_is_rejected_for_lack_of_memory_calls_nothing, 10)
{
	avow_abort *const stop = avow_abort_new(fx.loop);

	for (size_t i = 0; i < 16; i++) {
		bool is_seen = true;
		const avow_resource one[] = { { run_if_seen, NULL, &is_seen } };
		hoard_begin(i);
		fx_fail_never();
		fx_fail_above(fx_bytes() + 4096);
		const avow_promise *const p =
			avow_using(fx.loop, one, 1, run_if_seen, &is_seen,
				   .signal = avow_abort_signal(stop));
		is_seen = avow_state_of(p) == AVOW_PENDING;
		hoard_end();
		fx_run();
	}
	avow_abort_free(stop);
}

FX_TEST(misuse_of_resources_is_told)
{
	const avow_resource nothing_to_acquire[] = { { NULL, release, &a } };

	FX_ABORTS("NULL loop", avow_using(NULL, ints, 3, use, NULL));
	FX_ABORTS("nothing to do", avow_using(fx.loop, ints, 3, NULL, NULL));
	FX_ABORTS("nothing to acquire",
		  avow_using(fx.loop, nothing_to_acquire, 1, use, NULL));
}

FX_TEST(the_function_has_an_address)
{
	avow_promise *(*const with)(avow_loop *, const avow_resource *, size_t,
				    avow_handler_fn *, void *) = avow_using;

	reset();
	avow_then(with(fx.loop, ints, 1, use, NULL), fx_note, "end");
	fx_run();

	fx_expect("+a(none)|use(0)|-a(0)|end:9");
}

int main(void)
{
	return fx_main("using");
}
