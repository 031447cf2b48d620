/*
 * test_bits.c: the kernels over bits against a count of one bit at a time, and the
 * distances of sparse arrays against those of the same elements with their zeros.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "simd/simd.h"
#include "simd/sparse.h"
#include "tap.h"

static const simd_isa isas[] = {
	SIMD_SCALAR, SIMD_AVX2, SIMD_AVXVNNI, SIMD_AVX512, SIMD_AVX512VNNI
};
#define ISA_COUNT (sizeof(isas) / sizeof(isas[0]))

/* xorshift32: the same numbers on every machine */
static uint32_t random_state = 2463534242u;

static uint32_t
random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static uint64_t
count_bits(uint8_t byte)
{
	uint64_t	count = 0;

	for (int i = 0; i < 8; i++)
		count += byte >> i & 1;
	return count;
}

/* Do the kernels agree with bits counted one by one? density: of 8 random bytes, how
 * many are kept random; the rest are all ones. */
static bool
bits_agree(const simd_kernels *k, uint8_t *a, uint8_t *b, size_t n, uint32_t density)
{
	uint64_t	differ = 0,
				both = 0,
				either = 0,
				parts[2] = {77, 77};

	for (size_t i = 0; i < n; i++)
	{
		a[i] = random_next() % 8 < density ? (uint8_t) random_next() : 0xFF;
		b[i] = random_next() % 8 < density ? (uint8_t) random_next() : 0xFF;
		differ += count_bits(a[i] ^ b[i]);
		both += count_bits(a[i] & b[i]);
		either += count_bits(a[i] | b[i]);
	}
	k->jaccard_parts(a, b, n, parts);
	return k->hamming(a, b, n) == differ && parts[0] == both && parts[1] == either;
}

/* n bytes at the end of what can be read, or at its beginning: nothing beyond is */
static void
test_bits(const simd_kernels *k)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	char	   *map = mmap(NULL, 6 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t    *first = (uint8_t *) map + page,
			   *second = (uint8_t *) map + 4 * page;
	size_t		wrong = 0;

	if (map == MAP_FAILED || mprotect(first, page, PROT_READ | PROT_WRITE) != 0 ||
		mprotect(second, page, PROT_READ | PROT_WRITE) != 0)
	{
		ok(false, "%s: guard pages", simd_name(k->isa));
		return;
	}
	for (size_t n = 0; n <= page; n += n < 200 ? 1 : 389)
	{
		for (uint32_t density = 0; density <= 8; density += 4)
		{
			wrong += !bits_agree(k, first, second, n, density);
			wrong += !bits_agree(k, first + page - n, second + page - n, n, density);
		}
	}
	munmap(map, 6 * page);
	ok(wrong == 0, "%s: counts of bits, and nothing beyond either end is read",
	   simd_name(k->isa));
}

#define DIM 60

/* A sparse array in exactly as much memory as it needs; dense gets the same with zeros. */
static sparse_array
make_sparse(float dense[DIM], uint32_t density)
{
	int32_t		indices[DIM];
	float		values[DIM];
	size_t		count = 0;
	char	   *memory;

	for (int i = 0; i < DIM; i++)
	{
		dense[i] = random_next() % 8 < density ? (float) (random_next() % 7) - 3.0f : 0;
		if (dense[i] == 0)
			continue;
		indices[count] = i;
		values[count++] = dense[i];
	}
	memory = malloc(count * 8 + 1);
	if (memory == NULL)
		abort();
	memcpy(memory, indices, count * 4);
	memcpy(memory + count * 4, values, count * 4);
	return (sparse_array) {(const int32_t *) memory, (const float *) (memory + count * 4), count};
}

static void
test_sparse(void)
{
	const simd_kernels *scalar = simd_get_for(SIMD_SCALAR);
	size_t		wrong = 0;

	for (int round = 0; round < 3000; round++)
	{
		float		x[DIM],
					y[DIM];
		sparse_array a = make_sparse(x, (uint32_t) round % 9);
		sparse_array b = make_sparse(y, (uint32_t) round / 9 % 9);

		wrong += sparse_l2_squared(a, b) != scalar->l2_squared_f32(x, y, DIM) ||
			sparse_dot(a, b) != scalar->dot_f32(x, y, DIM) ||
			sparse_l1(a, b) != scalar->l1_f32(x, y, DIM);
		free((void *) a.indices);
		free((void *) b.indices);
	}
	ok(wrong == 0, "sparse distances are those of the same elements with their zeros");
}

int
main(void)
{
	for (size_t i = 0; i < ISA_COUNT; i++)
	{
		const simd_kernels *k = simd_get_for(isas[i]);

		if (k != NULL)
			test_bits(k);
		else
			tap_skip("this machine has no %s", simd_name(isas[i]));
	}
	test_sparse();
	return tap_done();
}
