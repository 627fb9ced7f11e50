/*
 * SPDX-License-Identifier: MIT
 *
 * Bounded queues: first in, first out, for values and for whoever waits; a
 * producer that is ahead waits, and no value is lost or dropped twice.
 */
#include "hoard.h"
#include "scene.h"

static avow_queue *queue;

static void push(int number, const char *name)
{
	avow_on(avow_queue_push(queue, avow_int(number)), .fulfilled = fx_note,
		.rejected = fx_note_code, .arg = name);
}

static void pop(const char *name)
{
	avow_on(avow_queue_pop(queue), .fulfilled = fx_note,
		.rejected = fx_note_code, .arg = name);
}

static void open_queue(size_t capacity)
{
	queue = avow_queue_new(fx.loop, capacity);
	ck_assert_ptr_nonnull(queue);
}

static void close_queue(void)
{
	avow_queue_free(queue);
	fx_run();
	ck_assert_int_eq(fx.boxes, 0);
}


/* ------------------------------------------------------------ Push and pop */

FX_TEST(values_come_out_in_the_order_in_which_they_went_in)
{
	open_queue(3);
	push(1, "push");
	push(2, "push");
	push(3, "push");
	ck_assert_uint_eq(avow_queue_count(queue), 3);
	pop("pop");
	pop("pop");
	pop("pop");
	fx_run();

	fx_expect("push:none|push:none|push:none|pop:1|pop:2|pop:3");
	ck_assert_uint_eq(avow_queue_count(queue), 0);
	close_queue();
}

FX_TEST(a_push_into_a_full_queue_waits_for_room)
{
	open_queue(2);
	push(1, "one");
	push(2, "two");
	push(3, "three");
	push(4, "four");
	fx_run();
	fx_expect("one:none|two:none");
	ck_assert_uint_eq(avow_queue_count(queue), 2);
	pop("pop");
	fx_run();
	fx_expect("three:none|pop:1");
	ck_assert_uint_eq(avow_queue_count(queue), 2);
	pop("pop");
	pop("pop");
	pop("pop");
	fx_run();

	fx_expect("four:none|pop:2|pop:3|pop:4");
	close_queue();
}

FX_TEST(a_pop_of_an_empty_queue_waits_for_a_value)
{
	open_queue(2);
	pop("first");
	pop("second");
	fx_run();
	fx_expect("");
	push(1, "push");
	fx_run();
	fx_expect("first:1|push:none");
	push(2, "push");
	ck_assert_uint_eq(avow_queue_count(queue), 0);
	fx_run();

	fx_expect("second:2|push:none");
	close_queue();
}

FX_TEST(without_capacity_a_push_waits_for_its_pop)
{
	open_queue(0);
	push(1, "one");
	push(2, "two");
	fx_run();
	fx_expect("");
	ck_assert_uint_eq(avow_queue_count(queue), 0);
	pop("pop");
	fx_run();
	fx_expect("one:none|pop:1");
	pop("pop");
	pop("pop");
	fx_run();
	fx_expect("two:none|pop:2");
	push(3, "three");
	fx_run();

	fx_expect("pop:3|three:none");
	close_queue();
}

static avow_value take_box(avow_value value, void *arg)
{
	const avow_value box = avow_take(value);
	(void)arg;
	fx_log("box:%d", fx_box_get(box)->number);
	avow_drop(box);
	return avow_none();
}

FX_TEST(a_popped_value_can_be_taken)
{
	open_queue(1);
	avow_queue_push(queue, fx_box_new(1));
	avow_then(avow_queue_pop(queue), take_box, NULL);
	avow_then(avow_queue_pop(queue), take_box, NULL);
	avow_queue_push(queue, fx_box_new(2));
	fx_run();

	fx_expect("box:1|box:2");
	close_queue();
}

FX_TEST(the_ring_grows_and_turns)
{
	int in = 0, out = 0;

	open_queue(SIZE_MAX);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 7; i++)
			avow_queue_push(queue, avow_int(in++));
		for (int i = 0; i < 5; i++)
			ck_assert_int_eq(avow_int_get(avow_value_of(
						 avow_queue_pop(queue))),
					 out++);
	}
	ck_assert_uint_eq(avow_queue_count(queue), (size_t)(in - out));
	while (out < in)
		ck_assert_int_eq(
			avow_int_get(avow_value_of(avow_queue_pop(queue))),
			out++);
	close_queue();
}

FX_TEST(an_error_rejects_the_push_and_does_not_enter)
{
	open_queue(1);
	avow_catch(avow_queue_push(queue, avow_error(EIO, "bad")), fx_note,
		   "push");
	avow_queue_push(queue, avow_reify(avow_error(EIO, "carried")));
	ck_assert_uint_eq(avow_queue_count(queue), 1);
	fx_run();
	fx_expect("push:!bad");
	const avow_value carried =
		avow_unreify(avow_copy(avow_value_of(avow_queue_pop(queue))));
	ck_assert_str_eq(avow_message(carried), "carried");

	avow_drop(carried);
	close_queue();
}


/* ------------------------------------------------------------ Back-pressure */

struct flow {
	int made, used, total, ahead_max;
};

static avow_value produce(avow_value value, void *arg)
{
	struct flow *const flow = arg;
	(void)value;
	if (flow->made == flow->total) {
		avow_queue_close(queue);
		return avow_none();
	}
	flow->made++;
	if (flow->made - flow->used > flow->ahead_max)
		flow->ahead_max = flow->made - flow->used;
	return avow_await(avow_then(avow_queue_push(queue, fx_box_new(1)),
				    produce, flow));
}

static avow_value consume(avow_value value, void *arg);

static avow_value consume_slowly(avow_value value, void *arg)
{
	struct flow *const flow = arg;
	(void)value;
	flow->used++;
	return avow_await(
		avow_then(flow->used % 50 ? avow_resolved(fx.loop, avow_none())
					  : avow_delay(fx.loop, 0),
			  consume, arg));
}

static avow_value consume(avow_value value, void *arg)
{
	(void)value;
	return avow_await(
		avow_then(avow_queue_pop(queue), consume_slowly, arg));
}

FX_TEST(a_producer_is_ahead_of_its_consumer_by_no_more_than_the_capacity)
{
	struct flow flow = { .total = 1000 };

	open_queue(8);
	avow_then(avow_resolved(fx.loop, avow_none()), produce, &flow);
	avow_promise *const end =
		avow_then(avow_resolved(fx.loop, avow_none()), consume, &flow);
	avow_catch(end, fx_note_code, "end");
	fx_run();

	fx_expect("end:12");
	ck_assert_int_eq(flow.used, 1000);
	/* What is in the queue, what waits, and what the consumer has. */
	ck_assert_int_le(flow.ahead_max, 8 + 2);
	ck_assert_int_ge(flow.ahead_max, 8);
	close_queue();
}


/* ---------------------------------------------------------------- Cancelling */

FX_TEST(a_cancelled_push_never_enters_and_its_value_is_dropped)
{
	open_queue(1);
	push(1, "one");
	avow_promise *const p = avow_queue_push(queue, fx_box_new(2));
	push(3, "three");
	ck_assert_int_eq(fx.boxes, 1);
	avow_cancel(p);
	ck_assert_int_eq(fx.boxes, 0);
	pop("pop");
	pop("pop");
	fx_run();

	fx_expect("one:none|three:none|pop:1|pop:3");
	close_queue();
}

FX_TEST(a_cancelled_pop_takes_no_value)
{
	open_queue(1);
	avow_promise *const p =
		avow_then(avow_queue_pop(queue), fx_note, "never");
	pop("second");
	avow_cancel(p);
	push(1, "push");
	fx_run();

	fx_expect("second:1|push:none");
	close_queue();
}

FX_TEST(a_value_that_is_pushed_after_the_only_pop_was_cancelled_stays_in)
{
	open_queue(1);
	avow_cancel(avow_queue_pop(queue));
	push(1, "push");
	ck_assert_uint_eq(avow_queue_count(queue), 1);
	pop("pop");
	fx_run();

	fx_expect("push:none|pop:1");
	close_queue();
}

FX_TEST(a_popped_value_that_nobody_reads_is_dropped_with_its_promise)
{
	open_queue(1);
	avow_queue_push(queue, fx_box_new(1));
	avow_promise *const p =
		avow_then(avow_queue_pop(queue), take_box, "never");
	avow_cancel(p);
	ck_assert_int_eq(fx.boxes, 1);
	fx_run();

	fx_expect("");
	ck_assert_int_eq(fx.boxes, 0);
	close_queue();
}

FX_TEST(signals_take_whoever_waits_out_of_the_line)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);

	open_queue(0);
	avow_catch(avow_queue_pop(queue, .signal = signal), fx_note, "pop");
	avow_abort_with(stop, avow_error(EIO, "enough"));
	fx_run();
	fx_expect("pop:!enough");
	avow_catch(avow_queue_push(queue, fx_box_new(1), .signal = signal),
		   fx_note, "push");
	ck_assert_int_eq(fx.boxes, 0);
	fx_run();

	fx_expect("push:!enough");
	avow_abort_free(stop);
	close_queue();
}

FX_TEST(with_a_signal_that_has_aborted_nothing_enters_and_nothing_is_taken)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);

	open_queue(4);
	avow_abort_with(stop, avow_none());
	avow_queue_push(queue, fx_box_new(1), .signal = signal);
	ck_assert_int_eq(fx.boxes, 0);
	ck_assert_uint_eq(avow_queue_count(queue), 0);
	push(2, "push");
	avow_catch(avow_queue_pop(queue, .signal = signal), fx_note_code,
		   "aborted");
	pop("pop");
	fx_run();

	fx_expect("push:none|aborted:1|pop:2");
	avow_abort_free(stop);
	close_queue();
}

FX_TEST_LIMIT(lines_of_hundreds_of_thousands_are_left_in_constant_time, 20)
{
	const size_t count = fx_scale(200 * 1000);
	avow_promise **const list = malloc(count * sizeof(*list));

	open_queue(0);
	for (size_t i = 0; i < count; i++)
		list[i] = avow_queue_push(queue, avow_int((int64_t)i));
	for (size_t i = 0; i < count; i++) {
		if (i != count / 2)
			avow_cancel(list[(i + count / 2) % count]);
	}
	ck_assert_int_eq(avow_int_get(avow_value_of(avow_queue_pop(queue))), 0);
	for (size_t i = 0; i < count; i++)
		list[i] = avow_queue_pop(queue);
	for (size_t i = count; i > 0; i--)
		avow_cancel(list[i - 1]);

	free(list);
	close_queue();
}


/* Whatever is pushed, popped and cancelled in whatever order: what comes out is
 * in order, and what does not come out has been dropped. */
enum { SEATS = 20 };

static avow_promise *seats[SEATS]; /* slots */
static int last_out, count_out;

static avow_value note_order(avow_value value, void *arg)
{
	const int number = fx_box_get(value)->number;
	(void)arg;
	ck_assert_int_gt(number, last_out);
	last_out = number;
	count_out++;
	return avow_none();
}

static unsigned dice(unsigned sides)
{
	static uint32_t state = 4321;
	state = state * 1664525 + 1013904223;
	return (state >> 16) % sides;
}

static void use_seat(avow_promise **seat, int number, bool is_push)
{
	if (*seat)
		avow_cancel(*seat);
	else if (is_push)
		avow_slot(avow_queue_push(queue, fx_box_new(number)), seat);
	else
		avow_slot(avow_then(avow_queue_pop(queue), note_order, NULL),
			  seat);
}

static void at_random(size_t capacity)
{
	const int rounds = (int)fx_scale(50 * 1000);

	open_queue(capacity);
	last_out = count_out = 0;
	for (int i = 1; i <= rounds; i++) {
		/* In turns more pushes, and more pops. */
		const unsigned odds = i / 200 % 2 ? 6 : 2;
		use_seat(&seats[dice(SEATS)], i, dice(8) < odds);
		if (dice(3) == 0)
			ev_run(fx.ev, EVRUN_NOWAIT);
		ck_assert_uint_le(avow_queue_count(queue), capacity);
	}
	ck_assert_int_gt(count_out, 0);
	for (size_t s = 0; s < SEATS; s++)
		avow_cancel(seats[s]);
	close_queue();
}

FX_TEST_LIMIT(at_random_values_come_out_in_order_or_are_dropped, 20)
{
	at_random(0);
	at_random(1);
	at_random(5);
}


/* ------------------------------------------------------------------- Closing */

FX_TEST(a_closed_queue_takes_nothing_and_gives_what_is_in_it)
{
	open_queue(2);
	push(1, "one");
	push(2, "two");
	push(3, "three");
	avow_queue_close(queue);
	push(4, "four");
	pop("pop");
	pop("pop");
	pop("pop");
	fx_run();

	fx_expect("one:none|two:none|three:12|four:12|pop:1|pop:2|pop:12");
	avow_queue_close(queue);
	close_queue();
}

FX_TEST(closing_rejects_the_pops_that_wait)
{
	open_queue(2);
	pop("first");
	pop("second");
	avow_queue_close(queue);
	fx_run();

	fx_expect("first:12|second:12");
	close_queue();
}

static void pop_when_dropped(void *name)
{
	pop(name);
}

static const avow_type greedy_type = { .name = "greedy",
				       .drop = pop_when_dropped };

FX_TEST(a_pop_in_a_drop_of_the_close_lets_no_push_in)
{
	open_queue(0);
	avow_catch(avow_queue_push(queue, avow_own("pop", &greedy_type)),
		   fx_note_code, "push");
	push(2, "push");
	avow_queue_close(queue);
	fx_run();

	fx_expect("push:12|pop:12|push:12");
	close_queue();
}

FX_TEST(freeing_rejects_who_waits_and_drops_what_is_in_it)
{
	open_queue(1);
	avow_queue_push(queue, fx_box_new(1));
	avow_catch(avow_queue_push(queue, fx_box_new(2)), fx_note_code, "push");
	ck_assert_int_eq(fx.boxes, 2);
	avow_queue_free(queue);
	ck_assert_int_eq(fx.boxes, 0);
	fx_run();

	fx_expect("push:12");
	avow_queue_free(NULL);
}

FX_TEST(a_queue_and_what_is_in_it_may_outlive_the_loop)
{
	open_queue(1);
	avow_queue_push(queue, fx_box_new(1));
	avow_catch(avow_queue_push(queue, fx_box_new(2)), fx_note_code, "push");
	fx_free_loop();
	fx_expect("push:3");
	ck_assert_int_eq(fx.boxes, 1);
	avow_queue_close(queue);
	avow_queue_free(queue);

	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(the_end_of_the_loop_abandons_a_pop)
{
	open_queue(1);
	pop("pop");
	fx_free_loop();

	fx_expect("pop:3");
	avow_queue_free(queue);
}

static avow_value free_queue(avow_value value, void *arg)
{
	(void)arg;
	fx_log("free");
	avow_queue_free(queue);
	return value;
}

FX_TEST(whoever_pops_may_free_the_queue)
{
	open_queue(1);
	avow_then(avow_queue_pop(queue), free_queue, NULL);
	pop("second");
	push(1, "push");
	fx_run();

	fx_expect("free|push:none|second:12");
}

static void drop_and_free_queue(void *ptr)
{
	(void)ptr;
	fx_log("drop");
	avow_queue_free(queue);
}

static const avow_type freeing_type = { .name = "freeing",
					.drop = drop_and_free_queue };

FX_TEST(the_drop_of_a_value_may_free_the_queue)
{
	open_queue(1);
	avow_queue_push(queue, avow_int(1));
	avow_catch(avow_queue_push(queue, avow_own(&fx, &freeing_type)),
		   fx_note_code, "push");
	avow_catch(avow_queue_push(queue, fx_box_new(2)), fx_note_code, "push");
	avow_queue_close(queue);
	fx_run();

	fx_expect("drop|push:12|push:12");
	ck_assert_int_eq(fx.boxes, 0);
}


/* ----------------------------------------------------------------- Anything */

static void act_and_drop(void *ptr)
{
	(void)ptr;
	scene_act();
}

static const avow_type acting_type = { .name = "acting", .drop = act_and_drop };

static void prepare_dropped_push(void)
{
	avow_queue_free(queue);
	queue = avow_queue_new(scene.loop, 0);
	avow_queue_push(queue, avow_int(1));
	scene_self(avow_queue_push(queue, avow_own(&fx, &acting_type)));
	avow_queue_push(queue, avow_int(2));
	avow_queue_close(queue);
}

FX_TEST(the_drop_of_a_value_that_did_not_enter_may_do_anything)
{
	queue = NULL;
	scene_try_all(prepare_dropped_push, 1);
	avow_queue_free(queue);
}

static avow_value act_in_handler(avow_value value, void *arg)
{
	(void)arg;
	scene_act();
	return value;
}

static void prepare_pop(void)
{
	avow_queue_free(queue);
	queue = avow_queue_new(scene.loop, 1);
	scene_self(avow_then(avow_queue_pop(queue), act_in_handler, NULL));
	avow_queue_push(queue, fx_box_new(1));
}

FX_TEST(what_waits_for_a_value_may_do_anything)
{
	queue = NULL;
	scene_try_all(prepare_pop, 1);
	avow_queue_free(queue);
}

static void prepare_push(void)
{
	avow_queue_free(queue);
	queue = avow_queue_new(scene.loop, 0);
	scene_self(avow_then(avow_queue_push(queue, fx_box_new(1)),
			     act_in_handler, NULL));
	avow_queue_pop(queue);
}

FX_TEST(what_waits_for_room_may_do_anything)
{
	queue = NULL;
	scene_try_all(prepare_push, 1);
	avow_queue_free(queue);
}

static void free_queue_and_loop(void *arg)
{
	(void)arg;
	avow_queue_free(queue);
	queue = NULL;
	avow_loop_free(fx.loop);
	fx.loop = NULL;
}

static const avow_type fatal_type = { .name = "fatal",
				      .drop = free_queue_and_loop };

/* No handler is on the stack, so that the loop goes at once. */
FX_TEST(the_drop_of_a_value_that_did_not_enter_may_free_queue_and_loop)
{
	open_queue(1);
	avow_queue_close(queue);
	avow_queue_push(queue, avow_own(&queue, &fatal_type));

	ck_assert_ptr_null(queue);
	ck_assert_ptr_null(fx.loop);
	fx_expect_reports("unhandled:closed");
}

FX_TEST(the_drop_of_a_value_without_memory_may_free_queue_and_loop)
{
	open_queue(1);
	hoard_begin(0);
	avow_queue_push(queue, avow_own(&queue, &fatal_type));
	fx_fail_never();

	ck_assert_ptr_null(queue);
	ck_assert_ptr_null(fx.loop);
}


/* -------------------------------------------------------- No memory, misuse */

static avow_value count_end(avow_value value, void *counter)
{
	(void)value;
	++*(int *)counter;
	return avow_none();
}

static void ignore(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

static void note_both(avow_promise *p, int *ends)
{
	avow_on(p, .fulfilled = count_end, .rejected = count_end, .arg = ends);
}

static void without_memory(void *arg)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	int ends = 0;

	(void)arg;
	if (!loop)
		return;
	avow_loop_on_report(loop, ignore, NULL);
	queue = avow_queue_new(loop, 6);
	if (queue) {
		for (int i = 0; i < 8; i++)
			note_both(avow_queue_push(queue, fx_twin_new(i)),
				  &ends);
		for (int i = 0; i < 10; i++)
			note_both(avow_queue_pop(queue), &ends);
		avow_queue_close(queue);
		ev_run(fx.ev, 0);
		ck_assert_int_eq(ends, 18);
		avow_queue_free(queue);
	}
	avow_loop_free(loop);
	ck_assert_int_eq(fx.boxes, 0);
}

FX_TEST(whatever_cannot_be_allocated_pushes_and_pops_settle)
{
	fx_sweep(without_memory, NULL);
}

FX_TEST(a_push_that_finds_no_memory_is_rejected_and_the_rest_stays_in)
{
	open_queue(100);
	for (int i = 0; i < 4; i++)
		avow_queue_push(queue, avow_int(i));
	const avow_value box = fx_box_new(1);
	fx_fail_from(0);
	avow_promise *const p = avow_queue_push(queue, box);
	fx_fail_never();
	ck_assert(avow_error_is(avow_value_of(p), &avow_errno_domain, ENOMEM));
	avow_catch(p, fx_note, "push");
	ck_assert_int_eq(fx.boxes, 0);
	ck_assert_uint_eq(avow_queue_count(queue), 4);

	close_queue();
	fx_take_log();
}

FX_TEST(without_any_memory_values_are_dropped_and_what_is_in_stays_in)
{
	open_queue(5);
	avow_queue_push(queue, avow_int(1));
	fx_run();
	const avow_value box = fx_box_new(1);
	hoard_begin(0);
	ck_assert_int_eq(avow_state_of(avow_queue_push(queue, box)),
			 AVOW_REJECTED);
	ck_assert_int_eq(avow_state_of(avow_queue_pop(queue)), AVOW_REJECTED);
	hoard_end();

	ck_assert_int_eq(fx.boxes, 0);
	ck_assert_uint_eq(avow_queue_count(queue), 1);
	close_queue();
}

/* What there is no memory left for is the signal. */
FX_TEST_LIMIT(a_push_or_pop_rejected_for_lack_of_memory_changes_nothing, 10)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);

	for (size_t left = 0; left < 12; left++) {
		open_queue(4);
		avow_queue_push(queue, avow_int(1));
		fx_run();
		hoard_begin(left);
		const avow_promise *const in =
			avow_queue_push(queue, avow_int(2), .signal = signal);
		const size_t count = avow_state_of(in) == AVOW_REJECTED ? 1 : 2;
		ck_assert_uint_eq(avow_queue_count(queue), count);
		hoard_end();
		hoard_begin(left);
		const avow_promise *const out =
			avow_queue_pop(queue, .signal = signal);
		const bool is_taken = avow_state_of(out) != AVOW_REJECTED;
		ck_assert_uint_eq(avow_queue_count(queue), count - is_taken);
		hoard_end();
		close_queue();
	}
	avow_abort_free(stop);
}

FX_TEST(misuse_of_a_queue_is_told)
{
	open_queue(1);
	FX_ABORTS("NULL loop", avow_queue_free(avow_queue_new(NULL, 1)));
	FX_ABORTS("NULL queue", avow_queue_push(NULL, avow_none()));
	FX_ABORTS("NULL queue", avow_queue_pop(NULL));
	FX_ABORTS("of a promise",
		  avow_queue_push(queue, avow_await(avow_pending(fx.loop))));
	FX_ABORTS("avow_queue_close(NULL)", avow_queue_close(NULL));
	FX_ABORTS("avow_queue_count(NULL)", (void)avow_queue_count(NULL));
	close_queue();
}

FX_TEST(the_functions_have_addresses)
{
	avow_promise *(*const in)(avow_queue *, avow_value) = avow_queue_push;
	avow_promise *(*const out)(avow_queue *) = avow_queue_pop;

	open_queue(1);
	in(queue, avow_int(3));
	avow_then(out(queue), fx_note, "pop");
	fx_run();

	fx_expect("pop:3");
	close_queue();
}

int main(void)
{
	return fx_main("queue");
}
