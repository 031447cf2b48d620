/*
 * check_linear.c: linear() and embed() of every weight type against sums in double precision, for
 * numbers of rows on both sides of each border.
 */
#include "emulated.h"

static double
epilogue(double x, backend_epilogue e)
{
	if (e == EPILOGUE_GELU)
		return x * 0.5 * erfc(-x / sqrt(2));
	return e == EPILOGUE_TANH ? tanh(x) : x;
}

typedef struct linear_case
{
	tensor_type types[3];
	int			outputs[3];
	int			parts;
	int			columns;
	backend_epilogue epilogue;
	bool		bias;
	bool		f32;
} linear_case;

/* As the kernels see a row: quantised to 8 bits where few rows meet blocks. */
static void
reference_input(const float *in, int columns, bool quantized, double *out)
{
	for (int c = 0; c < columns; c += 32)
	{
		float		greatest = 0;

		for (int i = c; quantized && i < c + 32; i++)
			greatest = fmaxf(greatest, fabsf(in[i]));
		for (int i = c; i < c + 32 && i < columns; i++)
			out[i] = !quantized ? (double) in[i] : greatest > 1e-30f ?
				(double) rintf(in[i] * (127.0f / greatest)) * (double) (greatest / 127.0f) : 0;
	}
}

/* The expected outputs of part p, from `first` on in rows of `outputs`. */
static void
reference_part(const linear_case *c, int p, const model_tensor *t, int first, int outputs,
			   const float *in, const float *bias, int rows, double *expected)
{
	bool		is_float = c->types[p] <= TYPE_BF16;
	double	   *w = test_values(t);
	double	   *x = malloc(sizeof(double) * (size_t) c->columns);

	for (size_t i = 0; i < (size_t) (t->rows * t->columns) && (is_float || rows > GEMV_ROWS); i++)
		w[i] = emulated_round((float) w[i]);
	for (int r = 0; r < rows; r++)
	{
		reference_input(in + r * c->columns, c->columns, !is_float && rows <= GEMV_ROWS, x);
		for (int o = 0; o < c->outputs[p]; o++)
		{
			double		sum = bias != NULL ? bias[first + o] : 0;

			for (int k = 0; k < c->columns; k++)
				sum += w[o * c->columns + k] * x[k];
			expected[r * outputs + first + o] = epilogue(sum, c->epilogue);
		}
	}
	free(w);
	free(x);
}

static bool
run_linear(backend_device *d, const backend_linear *args)
{
	return emulated_begin(d, args->rows) && rag_backend()->linear(d, args) == ENGINE_OK &&
		emulated_end(d);
}

static double
linear_error(backend_device *d, const linear_case *c, int rows)
{
	const backend_ops *ops = rag_backend();
	model_tensor tensors[3];
	const model_tensor *parts[3] = {&tensors[0], &tensors[1], &tensors[2]};
	int			outputs = 0;
	float	   *in = malloc(sizeof(float) * (size_t) (rows * c->columns));
	float	   *bias;
	float	   *got;
	double	   *expected;
	double		error = INFINITY;
	engine_error e;
	backend_weight *w;
	backend_linear args = {.rows = rows,.epilogue = c->epilogue};

	for (int p = 0; p < c->parts; p++)
	{
		tensors[p] = test_tensor(c->types[p], c->outputs[p], c->columns);
		outputs += c->outputs[p];
	}
	bias = malloc(sizeof(float) * (size_t) outputs);
	got = malloc(sizeof(float) * (size_t) (rows * outputs));
	expected = malloc(sizeof(double) * (size_t) (rows * outputs));
	emulated_fill(in, (size_t) (rows * c->columns), 2);
	test_fill(bias, (size_t) outputs);
	for (int p = 0, first = 0; p < c->parts; first += c->outputs[p++])
		reference_part(c, p, &tensors[p], first, outputs, in, c->bias ? bias : NULL, rows, expected);
	w = ops->upload_weight(d, parts, c->parts, WEIGHT_LINEAR, emulated_kind, &e);
	for (int p = 0; p < c->parts; p++)
		free((void *) (uintptr_t) tensors[p].data);
	if (w != NULL)
	{
		backend_buffer *in_buffer = emulated_buffer(d, emulated_kind, in,
													(size_t) (rows * c->columns));
		backend_buffer *bias_buffer = emulated_buffer(d, BACKEND_F32, bias, (size_t) outputs);

		args.in = in_buffer;
		args.bias = c->bias ? bias_buffer : NULL;
		args.out = emulated_buffer(d, c->f32 ? BACKEND_F32 : emulated_kind, NULL,
								   (size_t) (rows * outputs));
		args.weight = w;
		if (run_linear(d, &args))
		{
			emulated_get(d, args.out, got, (size_t) (rows * outputs));
			error = emulated_error(got, expected, (size_t) (rows * outputs),
								   sqrt(c->columns) * (c->f32 ? 2e-6 : 1e-4),
								   c->f32 ? F32_ERROR : F16_ERROR);
		}
		ops->free(d, in_buffer);
		ops->free(d, bias_buffer);
		ops->free(d, args.out);
	}
	ops->free_weight(d, w);
	free(in);
	free(bias);
	free(got);
	free(expected);
	return error;
}

static void
test_types(backend_device *d, const char *order)
{
	for (int type = 0; type < TENSOR_TYPES; type++)
	{
		const tensor_type_info *info = tensor_type_get((tensor_type) type);
		linear_case c = {.types = {(tensor_type) type},.outputs = {37},.parts = 1,
			.columns = info->block_elements == 1 ? 77 : info->block_elements == 32 ? 96 : 512,
		.f32 = type % 2 == 0};
		double		worst = 0;

		for (size_t i = 0; i < sizeof(awkward_rows) / sizeof(awkward_rows[0]); i++)
		{
			c.bias = i % 2 == 0;
			c.epilogue = (backend_epilogue) (i % 3);
			worst = fmax(worst, linear_error(d, &c, awkward_rows[i]));
		}
		ok(worst < 1, "%s: linear of %s (%.2f of the tolerance)", order, info->name, worst);
	}
}

static void
test_parts(backend_device *d, const char *order)
{
	static const linear_case cases[] = {
		{{TYPE_Q4_K, TYPE_Q4_K, TYPE_Q6_K}, {33, 16, 17}, 3, 256, EPILOGUE_NONE, true, false},
		{{TYPE_F16, TYPE_Q8_0, TYPE_BF16}, {5, 16, 40}, 3, 64, EPILOGUE_GELU, true, true},
		{{TYPE_F16, TYPE_Q8_0}, {16, 24}, 2, 64, EPILOGUE_GELU, true, false},
		{{TYPE_F32, TYPE_BF16, TYPE_F16}, {15, 1, 16}, 3, 40, EPILOGUE_NONE, false, false},
		{{TYPE_Q4_1, TYPE_Q4_1}, {64, 64}, 2, 576, EPILOGUE_NONE, false, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok(linear_error(d, &cases[i], 2) < 1 && linear_error(d, &cases[i], 17) < 1,
		   "%s: linear of %d parts", order, cases[i].parts);
}

/* Rows of tables of every type: exact but for the rounding to 16 bits. */
static void
test_embed(backend_device *d, const char *order)
{
	const backend_ops *ops = rag_backend();
	int32_t		ids[] = {3, 0, 18, 7, 7};
	int32_t		positions[] = {4, 1, 0, 2, 3};
	int32_t		types[] = {0, 1, 1, 0, 1};
	int32_t		start[] = {0, 2, 5};
	backend_batch batch = {.rows = 5,.tokens = ids,.positions = positions,.types = types,
	.sequences = 2,.start = start};
	double		worst = 0;

	for (int type = 0; type < TENSOR_TYPES; type++)
	{
		int			columns = tensor_type_get((tensor_type) type)->block_elements == 256 ? 256 : 96;
		model_tensor t[3] = {test_tensor((tensor_type) type, 19, columns),
			test_tensor(TYPE_F32, 5, columns), test_tensor((tensor_type) type, 2, columns)};
		backend_weight *w[3];
		double	   *values[3];
		float	   *got = malloc(sizeof(float) * 5 * (size_t) columns);
		double	   *expected = malloc(sizeof(double) * 5 * (size_t) columns);
		backend_buffer *out = emulated_buffer(d, emulated_kind, NULL, 5 * (size_t) columns);

		for (int i = 0; i < 3; i++)
		{
			const model_tensor *part = &t[i];

			w[i] = ops->upload_weight(d, &part, 1, WEIGHT_GATHER, emulated_kind, NULL);
			values[i] = test_values(part);
		}
		for (int r = 0; r < 5; r++)
		{
			for (int c = 0; c < columns; c++)
				expected[r * columns + c] = values[0][ids[r] * columns + c] +
					values[1][positions[r] * columns + c] + values[2][types[r] * columns + c];
		}
		if (ops->begin_step(d, &batch) != ENGINE_OK ||
			ops->embed(d, &(backend_embed) {out, w[0], w[1], w[2]}) != ENGINE_OK ||
			!emulated_end(d))
			worst = INFINITY;
		emulated_get(d, out, got, 5 * (size_t) columns);
		worst = fmax(worst, emulated_error(got, expected, 5 * (size_t) columns, 1e-3,
											   F16_ERROR));
		for (int i = 0; i < 3; i++)
		{
			ops->free_weight(d, w[i]);
			free(values[i]);
			free((void *) (uintptr_t) t[i].data);
		}
		ops->free(d, out);
		free(got);
		free(expected);
	}
	ok(worst < 1, "%s: embed from every type (%.2f of the tolerance)", order, worst);
}

static void
test_refusals(backend_device *d, const char *order)
{
	const backend_ops *ops = rag_backend();
	model_tensor t = test_tensor(TYPE_F16, 8, 16);
	const model_tensor *part = &t;
	backend_weight *w = ops->upload_weight(d, &part, 1, WEIGHT_LINEAR, emulated_kind, NULL);
	backend_buffer *small = emulated_buffer(d, emulated_kind, NULL, 16);
	backend_buffer *large = emulated_buffer(d, emulated_kind, NULL, 64);
	backend_linear args = {.out = large,.in = small,.weight = w,.rows = 2};
	backend_buffer *other = emulated_buffer(d, emulated_kind == BACKEND_BF16 ? BACKEND_ACTIVATION :
											BACKEND_BF16, NULL, 64);
	engine_error error;

	ok(ops->linear(d, &args) == ENGINE_INTERNAL, "%s: no operation outside a step", order);
	ok(emulated_begin(d, 1) &&
	   ops->linear(d, &(backend_linear) {.out = large,.in = other,.weight = w,.rows = 1}) == ENGINE_INTERNAL &&
	   ops->linear(d, &(backend_linear) {.out = other,.in = small,.weight = w,.rows = 1}) == ENGINE_INTERNAL &&
	   ops->embed(d, &(backend_embed) {other, w, NULL, NULL}) == ENGINE_INTERNAL &&
	   ops->gate(d, &(backend_gate) {small, other, 1, 8}) == ENGINE_INTERNAL && emulated_end(d),
	   "%s: f16 and bf16 do not mix", order);
	ok(emulated_begin(d, 2) && ops->linear(d, &args) == ENGINE_INTERNAL &&
	   strstr(ops->message(d), "do not fit") != NULL && emulated_end(d),
	   "%s: a buffer that is too small is refused", order);
	ok(emulated_begin(d, 1) &&
	   ops->linear(d, &(backend_linear) {.out = large,.in = large,.weight = w,.rows = 1}) == ENGINE_INTERNAL &&
	   emulated_end(d), "%s: a buffer is not both input and output", order);
	t.bytes = 3;
	ok(ops->upload_weight(d, &part, 1, WEIGHT_LINEAR, emulated_kind, &error) == NULL &&
	   error.code == ENGINE_CORRUPT, "%s: a tensor that is shorter than its shape", order);
	ops->free(d, small);
	ops->free(d, large);
	ops->free(d, other);
	ops->free_weight(d, w);
	free((void *) (uintptr_t) t.data);
}

static void
test_all(backend_device *d, const char *order)
{
	test_types(d, order);
	test_parts(d, order);
	test_embed(d, order);
	test_refusals(d, order);
}

int
main(void)
{
	emulated_each_order(test_all);
	return tap_done();
}
