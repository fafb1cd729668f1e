/* A loop of libmodbus over the same registers: every float of every device once per period, one device after the other.
 *
 * libmodbus_loop <seconds> <floats per device> <period in ms> <port>...
 * prints: row <values per second> <processor in percent of a core> <memory in MB>
 */
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double memory_mb(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss * 1024.0 / 1e6;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "libmodbus_loop <seconds> <floats per device> <period in ms> <port>...\n");
        return 2;
    }
    double seconds = atof(argv[1]), period = atof(argv[3]) / 1e3;
    int floats = atoi(argv[2]), devices = argc - 4;
    modbus_t **links = calloc((size_t)devices, sizeof *links);
    for (int i = 0; i < devices; i++) {
        links[i] = modbus_new_tcp("127.0.0.1", atoi(argv[4 + i]));
        if (!links[i] || modbus_set_slave(links[i], 1) || modbus_connect(links[i])) {
            fprintf(stderr, "no connection to port %s\n", argv[4 + i]);
            return 1;
        }
    }
    double begun = now(), used = cpu(), next = begun;
    long values = 0;
    volatile float kept = 0;
    while (now() - begun < seconds) {
        for (int i = 0; i < devices; i++) {
            for (int at = 0; at < floats * 2; at += 124) {
                uint16_t words[124];
                int count = floats * 2 - at < 124 ? floats * 2 - at : 124;
                if (modbus_read_registers(links[i], at, count, words) != count) {
                    fprintf(stderr, "a read failed\n");
                    return 1;
                }
                for (int w = 0; w + 1 < count; w += 2) {
                    kept += modbus_get_float_abcd(words + w);
                    values++;
                }
            }
        }
        next += period;
        double left = next - now();
        if (left > 0) {
            struct timespec wait = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
            nanosleep(&wait, NULL);
        } else {
            next = now();
        }
    }
    double wall = now() - begun;
    printf("row\t%.0f\t%.1f\t%.0f\n", (double)values / wall, (cpu() - used) / wall * 100.0, memory_mb());
    return 0;
}
