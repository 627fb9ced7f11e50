/*
 * SPDX-License-Identifier: MIT
 *
 * Out of memory, rule 23.  The fixture lets the first allocation of a scenario
 * fail, then the second, and so on, once alone and once with all that follow.
 * Whatever fails, the scenario must end in a value or in an error, every drop
 * must have come once, and nothing may be left.
 *
 * The second half is about what happens when memory stays away: the reserve,
 * and behind it the promise on which nothing happens any more.
 */
#include "fixture.h"

#include <pthread.h>
#include <sys/socket.h>

/* What became of one scenario. */
static struct tally {
	int values, errors, drops;	/* of the handlers at the end */
	int extra, extra_expected;	/* of what the scenario itself counts */
	int reports;
} tally;

static void count_report(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)arg;
	tally.reports += report->kind == AVOW_REPORT_MEMORY;
}

static avow_loop *loop_open(void)
{
	avow_loop *const loop = avow_loop_new(fx.ev);

	memset(&tally, 0, sizeof(tally));
	if (loop)
		avow_loop_on_report(loop, count_report, NULL);
	return loop;
}

static bool is_no_memory(avow_value error)
{
	return avow_error_is(error, &avow_errno_domain, ENOMEM);
}

static void count(void *counter)
{
	++*(int *)counter;
}

static avow_value see_value(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	tally.values++;
	return avow_none();
}

/* EIO is what the scenarios fail with on purpose. */
static avow_value see_error(avow_value error, void *arg)
{
	(void)arg;
	tally.errors++;
	ck_assert_msg(is_no_memory(error) ||
		      avow_error_is(error, &avow_errno_domain, EIO),
		      "neither out of memory nor EIO: %s", avow_message(error));
	ck_assert_str_ne(avow_message(error), "");
	return avow_none();
}

typedef avow_promise *make_fn(avow_loop *loop);

struct scenario {
	make_fn *make;
};

/* Make a promise, look at its end, and free the loop. */
static void run_scenario(void *arg)
{
	const struct scenario *const s = arg;
	const size_t failures = fx_failures();
	avow_loop *const loop = loop_open();

	if (!loop) {
		ck_assert_uint_gt(fx_failures(), failures);
		return;
	}
	avow_on(s->make(loop), .fulfilled = see_value, .rejected = see_error,
		.arg = &tally.drops, .drop = count);
	ev_run(fx.ev, 0);
	ck_assert_int_eq(tally.values + tally.errors, 1);
	avow_loop_free(loop);

	ck_assert_int_eq(tally.drops, 1);
	ck_assert_int_eq(tally.extra, tally.extra_expected);
}

static size_t sweep(make_fn *make)
{
	struct scenario s = { make };

	return fx_sweep(run_scenario, &s);
}


/* ------------------------------------------------------------------ Loops */

static void make_and_free_a_loop(void *arg)
{
	const size_t failures = fx_failures();
	avow_loop *const loop = avow_loop_new(fx.ev);

	++*(int *)arg;
	ck_assert_msg(loop || fx_failures() > failures,
		      "no loop, though no allocation failed");
	avow_loop_free(loop);
}

FX_TEST(a_loop_is_not_made_when_there_is_no_memory)
{
	int runs = 0;

	fx_fail_from(0);
	ck_assert_ptr_null(avow_loop_new(fx.ev));
	fx_fail_never();
	ck_assert_uint_ge(fx_sweep(make_and_free_a_loop, &runs), 4);
}

static void post_a_job(void *arg)
{
	avow_loop *const loop = loop_open();
	int ran = 0;

	(void)arg;
	if (!loop)
		return;
	const bool is_posted = avow_post(loop, count, &ran);
	ev_run(fx.ev, 0);
	ck_assert_int_eq(ran, is_posted);
	avow_loop_free(loop);
	ck_assert_int_eq(ran, is_posted);
}

FX_TEST(a_job_is_posted_or_refused)
{
	fx_sweep(post_a_job, NULL);
}

FX_TEST_LIMIT(jobs_are_refused_when_memory_stays_away, 10)
{
	int ran = 0, posted = 0;

	fx_fail_from(0);
	while (avow_post(fx.loop, count, &ran))
		posted++;
	ck_assert_int_gt(posted, 0);
	fx_run();
	fx_fail_never();

	ck_assert_int_eq(ran, posted);
	ck_assert(avow_post(fx.loop, count, &ran));
	fx_run();
	ck_assert_int_eq(ran, posted + 1);
	fx_expect_reports("memory");
}


/* ------------------------------------------------- Promises and reactions */

static avow_value give_same(avow_value value, void *arg)
{
	(void)arg;
	return value;
}

static avow_value give_taken(avow_value value, void *arg)
{
	(void)arg;
	return avow_take(value);
}

static avow_value give_eio(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	return avow_error(EIO, "on purpose, number %d", 1);
}

static avow_promise *a_box(avow_loop *loop)
{
	return avow_resolved(loop, fx_box_new(1));
}

static avow_promise *an_eio(avow_loop *loop)
{
	return avow_rejected(loop, avow_errno(EIO));
}

static avow_promise *settled_later(avow_loop *loop)
{
	avow_promise *const p = avow_pending(loop);
	avow_promise *const q = avow_then(p, give_same, NULL);

	avow_resolve(p, fx_box_new(2));
	return q;
}

static avow_promise *rejected_with_a_box(avow_loop *loop)
{
	/* The reason is wrapped, which needs memory. */
	return avow_catch(avow_rejected(loop, fx_box_new(1)), give_eio, NULL);
}

static avow_promise *all_verbs(avow_loop *loop)
{
	avow_promise *p = a_box(loop);

	p = avow_then(p, give_taken, NULL);
	p = avow_tap(p, give_same, NULL);
	p = avow_catch(p, give_same, NULL);
	p = avow_finally(p, give_same, NULL);
	p = avow_tap_catch(p, give_same, NULL);
	p = avow_catch_code(p, &avow_errno_domain, EPERM, give_same, NULL);
	return avow_shield(p);
}

static avow_promise *all_verbs_over_an_error(avow_loop *loop)
{
	avow_promise *p = an_eio(loop);

	p = avow_then(p, give_same, NULL);
	p = avow_tap_catch(p, give_same, NULL);
	p = avow_finally(p, give_same, NULL);
	p = avow_catch_code(p, &avow_errno_domain, EIO, give_eio, NULL);
	return avow_shield(p);
}

FX_TEST(each_way_to_make_a_promise_survives_any_failure)
{
	ck_assert_uint_ge(sweep(a_box), 2);
	sweep(an_eio);
	sweep(settled_later);
	sweep(rejected_with_a_box);
}

FX_TEST(each_verb_survives_any_failure)
{
	sweep(all_verbs);
	sweep(all_verbs_over_an_error);
}

static avow_promise *with_a_drop(avow_loop *loop)
{
	tally.extra_expected = 3;
	avow_promise *p = avow_on(a_box(loop), .fulfilled = give_eio,
				  .arg = &tally.extra, .drop = count);
	p = avow_on(p, .fulfilled = give_same, .arg = &tally.extra,
		    .drop = count);
	return avow_on(p, .finally = give_same, .arg = &tally.extra,
		       .drop = count);
}

static avow_promise *with_a_resource(avow_loop *loop)
{
	tally.extra_expected = 2;
	avow_promise *const p = avow_attach(a_box(loop), &tally.extra, count);
	return avow_attach(p, &tally.extra, count);
}

struct record {
	int number;
	char filling[300];
};

static avow_value give_number(avow_value value, void *copy)
{
	(void)value;
	ck_assert_int_eq(((struct record *)copy)->number, 4);
	return avow_int(((struct record *)copy)->number);
}

static avow_promise *with_copies(avow_loop *loop)
{
	avow_promise *p = a_box(loop);

	for (int i = 0; i < 3; i++)
		p = avow_then_copy(p, give_number, &(struct record){ 4, "x" });
	return avow_then_copy(p, give_same, &(int){ 3 });
}

static void drop_copy(void *copy)
{
	ck_assert_int_eq(((struct record *)copy)->number, 4);
	tally.extra++;
}

static avow_promise *with_a_copy_and_a_drop(avow_loop *loop)
{
	const struct record record = { 4, "y" };

	tally.extra_expected = 1;
	return avow_on(a_box(loop), .fulfilled = give_number,
		       .copy = &record, .copy_size = sizeof(record),
		       .drop = drop_copy);
}

FX_TEST(what_is_attached_is_dropped_once_whatever_fails)
{
	sweep(with_a_drop);
	sweep(with_a_resource);
}

FX_TEST(copied_arguments_survive_any_failure)
{
	ck_assert_uint_ge(sweep(with_copies), 3);
	sweep(with_a_copy_and_a_drop);
}

static avow_value give_promise(avow_value value, void *loop)
{
	avow_promise *const p = avow_resolved(loop, avow_take(value));

	return avow_await(avow_then(p, give_same, NULL));
}

static avow_value wait_a_little(avow_value value, void *loop)
{
	(void)value;
	return avow_await(avow_immediate(loop));
}

static avow_promise *that_follows(avow_loop *loop)
{
	avow_promise *const p = avow_pending(loop);

	avow_resolve(p, avow_await(avow_then(a_box(loop), give_promise, loop)));
	return avow_finally(p, wait_a_little, loop);
}

static avow_value start_later(avow_value value, void *context)
{
	avow_settle(context, avow_ptr(value.as.ptr));
	return avow_none();
}

static void thenable_drop(void *ptr)
{
	(void)ptr;
	tally.extra++;
}

static const avow_type thenable_type = {
	.name = "thenable", .drop = thenable_drop, .then = start_later
};

static avow_promise *a_thenable(avow_loop *loop)
{
	tally.extra_expected = 1;
	return avow_resolved(loop, avow_own(&tally, &thenable_type));
}

FX_TEST(following_and_thenables_survive_any_failure)
{
	sweep(that_follows);
	sweep(a_thenable);
}

static void slots_and_holds(void *arg)
{
	avow_loop *const loop = loop_open();
	avow_promise *where[20];

	(void)arg;
	if (!loop)
		return;
	avow_promise *const p = avow_pending(loop);
	for (int i = 0; i < 20; i++) {
		avow_slot(p, &where[i]);
		ck_assert(where[i] == p || where[i] == NULL);
	}
	avow_hold(p);
	avow_unslot(&where[3]);
	ck_assert_ptr_null(where[3]);
	avow_resolve(p, fx_box_new(1));
	ev_run(fx.ev, 0);
	avow_release(p);
	avow_loop_free(loop);
	for (int i = 0; i < 20; i++)
		ck_assert_ptr_null(where[i]);
}

FX_TEST(slots_are_set_or_null_whatever_fails)
{
	fx_sweep(slots_and_holds, NULL);
}


/* ----------------------------------------------------------------- Values */

static int cleared;

struct cell {
	int number;
	char filling[100];
};

static void cell_clear(struct cell *c)
{
	cleared += c->number;
}

AVOW_STRUCT(cell, struct cell, cell_clear);

/* A value, or the error ENOMEM; whichever it is, it is dropped. */
static void is_value_or_no_memory(avow_value value, const avow_type *type)
{
	ck_assert_msg(avow_is(value, type) || is_no_memory(value),
		      "%s instead of a %s", avow_message(value), type->name);
	avow_drop(value);
}

static void make_values(void *arg)
{
	const avow_value two[] = { fx_box_new(1), fx_box_new(2) };

	(void)arg;
	cleared = 0;
	is_value_or_no_memory(avow_str("text"), &avow_str_type);
	is_value_or_no_memory(avow_bytes("a\0b", 3), &avow_str_type);
	is_value_or_no_memory(avow_list(two, 2), &avow_list_type);
	ck_assert_int_eq(fx.boxes, 0);
	is_value_or_no_memory(cell_value((struct cell){ .number = 5 }),
			      &cell_type);
	ck_assert_int_eq(cleared, 5);
}

FX_TEST(each_constructor_gives_a_value_or_no_memory)
{
	ck_assert_uint_eq(fx_sweep(make_values, NULL), 10);
}

static void make_errors(void *arg)
{
	const avow_domain *const domains[] = {
		&avow_errno_domain, &avow_core_domain
	};

	(void)arg;
	for (int i = 0; i < 2; i++) {
		/* Losing the text is allowed, losing the code is not. */
		avow_value e = avow_error_in(domains[i], 5, "text %d", 5);
		ck_assert(avow_error_is(e, domains[i], 5));
		ck_assert_str_ne(avow_message(e), "");
		e = avow_wrap(e, "more");
		ck_assert(avow_error_is(e, domains[i], 5));
		ck_assert_str_ne(avow_message(e), "");
		avow_drop(e);
	}
	const avow_value strange = avow_wrap(fx_box_new(1), "strange");
	ck_assert(avow_is_error(strange));
	avow_drop(strange);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(an_error_keeps_its_code_when_there_is_no_memory_for_its_text)
{
	ck_assert_uint_ge(fx_sweep(make_errors, NULL), 10);
}

static void carry_an_error(void *arg)
{
	const avow_value data = avow_reify(avow_errno(EIO));

	(void)arg;
	if (avow_is_error(data))
		ck_assert(is_no_memory(data) ||
			  avow_error_is(data, &avow_errno_domain, EIO));
	const avow_value back = avow_unreify(data);
	ck_assert(is_no_memory(back) ||
		  avow_error_is(back, &avow_errno_domain, EIO));
	avow_drop(back);
}

FX_TEST(an_error_carried_as_data_survives_any_failure)
{
	fx_sweep(carry_an_error, NULL);
}

static void copy_values(void *arg)
{
	const avow_value item = avow_str("item");
	const avow_value text = avow_str("some text");
	const avow_value list = avow_list(&item, 1);
	const avow_value error = avow_wrap(avow_error(EIO, "inner"), "outer");

	(void)arg;
	avow_drop(avow_copy(text));
	avow_drop(avow_copy(list));
	const avow_value second = avow_copy(error);
	ck_assert(avow_is_error(second));
	avow_drop(second);
	avow_drop(text);
	avow_drop(list);
	avow_drop(error);
}

FX_TEST(copying_survives_any_failure)
{
	ck_assert_uint_ge(fx_sweep(copy_values, NULL), 8);
}

static avow_value give_list(avow_value value, void *arg)
{
	const avow_value items[] = {
		avow_str("one"), avow_take(value), avow_error(EIO, "three")
	};

	(void)arg;
	return avow_list(items, 3);
}

static avow_value give_second(avow_value list, void *arg)
{
	(void)arg;
	return avow_take(avow_list_at(list, 1));
}

static avow_promise *of_a_list(avow_loop *loop)
{
	avow_promise *p = avow_then(a_box(loop), give_list, NULL);

	return avow_then(p, give_second, NULL);
}

static avow_value give_struct(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	tally.extra_expected++;
	return cell_value((struct cell){ .number = 1 });
}

static avow_promise *of_a_struct(avow_loop *loop)
{
	return avow_then(a_box(loop), give_struct, NULL);
}

static void run_struct_scenario(void *arg)
{
	(void)arg;
	cleared = 0;
	avow_loop *const loop = loop_open();
	if (!loop)
		return;
	avow_on(of_a_struct(loop), .fulfilled = see_value,
		.rejected = see_error);
	ev_run(fx.ev, 0);
	ck_assert_int_eq(tally.values + tally.errors, 1);
	avow_loop_free(loop);
	ck_assert_int_eq(cleared, tally.extra_expected);
}

FX_TEST(values_made_in_handlers_survive_any_failure)
{
	sweep(of_a_list);
	fx_sweep(run_struct_scenario, NULL);
}


/* -------------------------------------------------------------- Promisify */

typedef void box_fn(int err, struct fx_box *result, void *context);

static const char *explain(int code)
{
	(void)code;
	return "text";
}

AVOW_CALLBACK(on_box, AVOW_ERR_IN(int, avow_errno_domain), AVOW_OWN(fx_box),
	      AVOW_CTX(void *));
AVOW_CALLBACK(on_three, AVOW_ERR(int, explain), AVOW_OWN(fx_box),
	      AVOW_COPY(fx_twin), AVOW_BYTES(const char *, size_t),
	      AVOW_CTX(void *));

static int give_box(box_fn *fn, void *context)
{
	tally.extra++;
	fn(0, fx_box_get(fx_box_new(1)), context);
	return 0;
}

/* The call is evaluated once, or not at all when the call could not begin. */
static avow_promise *of_a_call(avow_loop *loop)
{
	avow_promise *const p =
		AVOW_PROMISIFY(loop, give_box(on_box, AVOW_CONTEXT));

	tally.extra_expected =
		avow_state_of(p) == AVOW_FULFILLED ? 1 : tally.extra;
	ck_assert_int_le(tally.extra, 1);
	return p;
}

static avow_promise *of_three_results(avow_loop *loop)
{
	const avow_value lent = fx_twin_new(2);
	avow_promise *const p = AVOW_PROMISIFY_VOID(loop,
		on_three(0, fx_box_get(fx_box_new(1)), fx_twin_get(lent),
			 "bytes", 5, AVOW_CONTEXT));

	avow_drop(lent);
	return p;
}

static avow_promise *with_memory_of_its_own(avow_loop *loop)
{
	const avow_call c = avow_begin(loop, "call");

	ck_assert_ptr_nonnull(c.context);
	ck_assert_ptr_nonnull(c.promise);
	for (size_t size = 1; size < 10000; size *= 10) {
		char *const memory = avow_alloc(c.context, size);
		if (!memory)
			return avow_end(c, false, ENOMEM);
		memset(memory, 1, size);
	}
	avow_settle(c.context, avow_int(1));
	return avow_end(c, true, 0);
}

/* A start that failed for want of memory has its code in its own domain. */
static avow_value give_no_memory(avow_value error, void *arg)
{
	(void)arg;
	if (avow_error_is(error, &avow_start_domain, ENOMEM))
		return avow_errno(ENOMEM);
	return error;
}

static avow_promise *with_memory(avow_loop *loop)
{
	return avow_catch(with_memory_of_its_own(loop), give_no_memory, NULL);
}

static avow_promise *by_a_context(avow_loop *loop)
{
	avow_promise *const p = avow_pending(loop);
	void *const context = avow_context(p);

	ck_assert_ptr_nonnull(context);
	avow_settle(context, fx_box_new(1));
	if (avow_state_of(p) == AVOW_PENDING)
		avow_resolve(p, avow_int(1));
	return p;
}

static avow_promise *of_a_call_that_did_not_start(avow_loop *loop)
{
	const avow_call c = avow_begin(loop, "call");
	avow_promise *const p = avow_end(c, false, ENOMEM);

	return avow_catch(p, give_no_memory, NULL);
}

FX_TEST(promisified_calls_survive_any_failure)
{
	sweep(of_a_call);
	sweep(of_a_call_that_did_not_start);
	sweep(by_a_context);
}

FX_TEST(several_results_survive_any_failure)
{
	ck_assert_uint_ge(sweep(of_three_results), 4);
}

FX_TEST(memory_of_a_call_survives_any_failure)
{
	ck_assert_uint_ge(sweep(with_memory), 4);
}

static void error_first(avow_value error, avow_value value, void *context)
{
	ck_assert(avow_is_none(error) || is_no_memory(error));
	ck_assert(avow_is_none(error) || avow_is_none(value));
	count(context);
}

AVOW_CALLBACKIFY(box_done, AVOW_ERR(int, explain), AVOW_OWN(fx_box),
		 AVOW_CTX(void *));

static void box_consumer(int err, struct fx_box *result, void *context)
{
	if (result)
		avow_drop(fx_box_value(result));
	else
		ck_assert_int_eq(err, ENOMEM);
	count(context);
}

static void hand_back(void *arg)
{
	avow_loop *const loop = loop_open();
	int first = 0, second = 0;

	(void)arg;
	if (!loop)
		return;
	avow_as_callback(avow_resolved(loop, avow_int(1)), error_first, &first);
	box_done(a_box(loop), box_consumer, &second);
	ev_run(fx.ev, 0);
	avow_loop_free(loop);
	ck_assert_int_eq(first, 1);
	ck_assert_int_eq(second, 1);
}

FX_TEST(legacy_callbacks_are_called_once_whatever_fails)
{
	fx_sweep(hand_back, NULL);
}


/* ------------------------------------------------------- Time and cancel */

static avow_promise *of_the_clock(avow_loop *loop)
{
	return avow_then(avow_delay(loop, .0005), give_same, NULL);
}

static avow_promise *of_the_next_turn(avow_loop *loop)
{
	return avow_then(avow_immediate(loop), give_same, NULL);
}

static int ends[2];

static avow_promise *of_a_descriptor(avow_loop *loop)
{
	return avow_then(avow_writable(loop, ends[0]), give_same, NULL);
}

static avow_value step_once(avow_value events, void *state)
{
	int *const calls = state;

	(void)events;
	switch ((*calls)++) {
	case 0:
		return avow_until(ends[0], AVOW_WRITE, 1);
	case 1:
		return avow_until(-1, 0, .0005);
	default:
		return avow_int(7);
	}
}

static avow_promise *of_a_drive(avow_loop *loop)
{
	static int calls;

	calls = 0;
	return avow_drive(loop, step_once, &calls);
}

FX_TEST(waiting_for_time_and_descriptors_survives_any_failure)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	sweep(of_the_clock);
	sweep(of_the_next_turn);
	sweep(of_a_descriptor);
	sweep(of_a_drive);
	close(ends[0]);
	close(ends[1]);
}

static avow_value count_and_wait(avow_value outcome, void *loop)
{
	ck_assert(avow_is_cancelled(outcome) || is_no_memory(outcome));
	tally.extra++;
	return avow_await(avow_delay(loop, .0005));
}

static void cancel_a_chain(void *arg)
{
	avow_loop *const loop = loop_open();

	(void)arg;
	if (!loop)
		return;
	avow_promise *p = avow_delay(loop, 1e6);
	p = avow_attach(p, &tally.drops, count);
	p = avow_finally(p, count_and_wait, loop);
	p = avow_then(p, give_same, NULL);
	avow_cancel(p);
	ev_run(fx.ev, 0);
	ck_assert_int_eq(tally.extra, 1);
	ck_assert_int_eq(tally.drops, 1);
	avow_loop_free(loop);
	ck_assert_int_eq(tally.drops, 1);
}

FX_TEST(cleaning_up_after_cancellation_survives_any_failure)
{
	fx_sweep(cancel_a_chain, NULL);
}

static void abandon_a_chain(void *arg)
{
	avow_loop *const loop = loop_open();

	(void)arg;
	if (!loop)
		return;
	const avow_call c = avow_begin(loop, "call");
	avow_on_cancel(c.context, count, &tally.extra);
	avow_promise *p = avow_end(c, true, 0);
	p = avow_attach(p, &tally.drops, count);
	avow_on(p, .fulfilled = see_value, .rejected = see_value);
	avow_loop_free(loop);
	ck_assert_int_eq(tally.drops, 1);
	ck_assert_int_eq(tally.values, 1);
	avow_settle(c.context, fx_box_new(1));
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(freeing_a_loop_with_work_pending_survives_any_failure)
{
	fx_sweep(abandon_a_chain, NULL);
}

static void *settle_seven(void *context)
{
	avow_settle(context, avow_int(7));
	return NULL;
}

FX_TEST(settling_from_another_thread_needs_no_memory)
{
	const avow_call c = avow_begin(fx.loop, "call");
	pthread_t t;

	avow_then(avow_end(c, true, 0), fx_note, "then");
	fx_fail_from(0);
	ck_assert_int_eq(pthread_create(&t, NULL, settle_seven,
					avow_threaded(c.context)), 0);
	fx_run();
	pthread_join(t, NULL);
	fx_fail_never();

	fx_expect("then:7");
}


/* ------------------------------------------------------------ The reserve */

/* Attach to `p` until one promise comes twice: there is no other left. */
static avow_promise *spend_all_memory(avow_promise *p, int *attached)
{
	avow_promise *last = NULL;

	for (*attached = 0;; ++*attached) {
		avow_promise *const q = avow_then(p, see_value, NULL);
		if (q == last)
			return q;
		last = q;
	}
}

FX_TEST_LIMIT(chains_complete_from_the_reserve_and_it_is_told_once, 10)
{
	avow_promise *p = avow_pending(fx.loop);
	avow_promise *const first = p;
	size_t length = 0;
	int sum = 0;

	fx_fail_from(0);
	/* Whatever fits in what there is, and in a part of the reserve. */
	do {
		p = avow_then(p, give_same, NULL);
		p = avow_attach(p, &sum, count);
		length++;
	} while (!fx_failures() && length < 100000);
	for (int i = 0; i < 100; i++) {
		p = avow_attach(p, &sum, count);
		length++;
	}
	memset(&tally, 0, sizeof(tally));
	avow_then(p, see_value, NULL);
	avow_resolve(first, fx_box_new(1));
	fx_run();

	ck_assert_int_eq(tally.values, 1);
	ck_assert_int_eq(sum, (int)length);
	fx_expect_reports("memory");
}

FX_TEST_LIMIT(the_reserve_is_filled_again_when_there_is_memory, 10)
{
	for (int i = 0; i < 3; i++) {
		avow_promise *const p = avow_pending(fx.loop);
		int attached = 0;

		fx_fail_from(0);
		spend_all_memory(p, &attached);
		fx_fail_never();
		ck_assert_int_gt(attached, 500);
		memset(&tally, 0, sizeof(tally));
		avow_resolve(p, avow_none());
		fx_run();
		ck_assert_int_ge(tally.values, attached - 1);
		fx_expect_reports("memory");
		/* Some life with memory to be had. */
		avow_then(avow_delay(fx.loop, 0), fx_note, NULL);
		fx_run();
		fx_expect("none");
	}
}

FX_TEST_LIMIT(cleaning_up_goes_on_when_nothing_more_can_be_attached, 10)
{
	avow_promise *const p = avow_pending(fx.loop);
	int attached = 0, drops = 0, total = 0;

	fx_fail_from(0);
	spend_all_memory(p, &attached);
	for (; total < 1000; total++)
		avow_attach(p, &drops, count);
	ck_assert_int_eq(drops, total);	/* all of them at once */
	avow_cancel(p);
	fx_run();
	fx_fail_never();

	ck_assert_int_eq(drops, total);
	fx_expect_reports("memory");
}

FX_TEST_LIMIT(a_limit_on_memory_loses_no_drop, 20)
{
	const int total = (int)fx_scale(50 * 1000);
	avow_promise *const p = avow_pending(fx.loop);
	int drops = 0;

	fx_fail_above(fx_bytes() + 3 * 64 * 1024);
	for (int i = 0; i < total; i++)
		avow_on(p, .fulfilled = give_same, .arg = &drops,
			.drop = count);
	avow_resolve(p, fx_box_new(1));
	fx_run();
	fx_fail_never();
	fx_free_loop();

	ck_assert_int_eq(drops, total);
	(void)fx_take_reports();
}


/* ------------------------------------- The promise that nothing happens to */

static avow_promise *immortal(void)
{
	int attached;
	avow_promise *const p = avow_pending(fx.loop);

	fx_fail_from(0);
	avow_promise *const q = spend_all_memory(p, &attached);
	avow_cancel(p);
	return q;
}

static avow_value never(avow_value value, void *arg)
{
	(void)arg;
	fx_log("never");
	return value;
}

FX_TEST_LIMIT(the_last_promise_is_rejected_with_no_memory, 10)
{
	avow_promise *const p = immortal();

	ck_assert_int_eq(avow_state_of(p), AVOW_REJECTED);
	ck_assert(is_no_memory(avow_value_of(p)));
	ck_assert_ptr_eq(avow_loop_of(p), fx.loop);
	ck_assert(is_no_memory(avow_wait(p)));
	fx_fail_never();
	fx_run();
	fx_expect_reports("memory");
}

FX_TEST_LIMIT(whatever_is_attached_to_the_last_promise_does_nothing, 10)
{
	avow_promise *const p = immortal();
	int drops = 0, expected = 0;

	ck_assert_ptr_eq(avow_then(p, never, NULL), p);
	ck_assert_ptr_eq(avow_catch(p, never, NULL), p);
	ck_assert_ptr_eq(avow_finally(p, never, NULL), p);
	ck_assert_ptr_eq(avow_tap(p, never, NULL), p);
	ck_assert_ptr_eq(avow_tap_catch(p, never, NULL), p);
	ck_assert_ptr_eq(avow_catch_code(p, &avow_errno_domain, ENOMEM, never,
					 NULL), p);
	ck_assert_ptr_eq(avow_shield(p), p);
	ck_assert_ptr_eq(avow_then_copy(p, never, &(int){ 1 }), p);
	ck_assert_ptr_eq(avow_attach(p, &drops, count), p);
	ck_assert_int_eq(drops, ++expected);
	ck_assert_ptr_eq(avow_on(p, .rejected = never, .arg = &drops,
				 .drop = count), p);
	ck_assert_int_eq(drops, ++expected);
	avow_as_callback(p, error_first, &drops);
	ck_assert_int_eq(drops, ++expected);
	box_done(p, box_consumer, &drops);
	ck_assert_int_eq(drops, ++expected);
	fx_run();
	fx_fail_never();
	fx_run();

	ck_assert_int_eq(drops, expected);
	fx_expect("");
	fx_expect_reports("memory");
}

FX_TEST_LIMIT(whatever_is_done_to_the_last_promise_does_nothing, 10)
{
	avow_promise *const p = immortal();
	avow_promise *where = p;

	avow_hold(p);
	avow_cancel(p);
	avow_release(p);
	avow_slot(p, &where);
	avow_unslot(&where);
	ck_assert_ptr_null(where);
	ck_assert_ptr_nonnull(avow_context(p));
	avow_settle(avow_context(p), fx_box_new(1));
	avow_on_cancel(avow_context(p), fx_job, "never");
	ck_assert_ptr_null(avow_alloc(avow_context(p), 1));
	ck_assert_int_eq(fx.boxes, 0);
	ck_assert(is_no_memory(avow_value_of(p)));
	fx_run();
	fx_fail_never();
	fx_run();

	fx_expect("");
	(void)fx_take_reports();
}

FX_TEST_LIMIT(each_way_to_make_a_promise_gives_the_last_one, 10)
{
	avow_promise *const p = immortal();

	ck_assert_ptr_eq(avow_pending(fx.loop), p);
	ck_assert_ptr_eq(avow_resolved(fx.loop, fx_box_new(1)), p);
	ck_assert_ptr_eq(avow_rejected(fx.loop, fx_box_new(1)), p);
	ck_assert_ptr_eq(avow_delay(fx.loop, 0), p);
	ck_assert_ptr_eq(avow_immediate(fx.loop), p);
	ck_assert_ptr_eq(avow_readable(fx.loop, STDIN_FILENO), p);
	ck_assert_ptr_eq(avow_drive(fx.loop, never, NULL), p);
	const avow_call c = avow_begin(fx.loop, "call");
	ck_assert(!c.is_open);
	ck_assert_ptr_eq(c.promise, p);
	ck_assert_ptr_nonnull(c.context);
	ck_assert_ptr_eq(avow_end(c, true, 0), p);
	ck_assert_int_eq(fx.boxes, 0);
	fx_run();
	fx_fail_never();

	fx_expect("");
	fx_expect_reports("memory");
}

FX_TEST_LIMIT(a_promise_can_follow_the_last_promise, 10)
{
	avow_promise *const p = avow_pending(fx.loop);
	avow_promise *const q = avow_catch(p, fx_note, "caught");
	avow_promise *const none = immortal();

	(void)q;
	avow_resolve(p, avow_await(none));
	fx_run();
	fx_fail_never();

	ck_assert_int_eq(strncmp(fx_take_log(), "caught:!", 8), 0);
	fx_expect_reports("memory");
}

FX_TEST_LIMIT(the_loop_recovers_when_there_is_memory_again, 10)
{
	avow_promise *const old = immortal();

	fx_run();
	fx_fail_never();
	avow_promise *const p = avow_resolved(fx.loop, fx_box_new(1));
	ck_assert_ptr_ne(p, old);
	avow_then(p, fx_note, "then");
	fx_run();

	fx_expect("then:box:1");
	fx_expect_reports("memory");
}

int main(void)
{
	return fx_main("oom");
}
